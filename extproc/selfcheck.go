package extproc

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// selfCheck detects faults in Envoy's configuration from its messages. The zero value is ready for use.
type selfCheck struct {
	reported sync.Map // the faults that were reported, by their constant names

	// An Envoy that does not allow mode overrides never sends a body, without an error.
	bodies, missing atomic.Int64 // exchanges that requested a body: with one; without one, before the first body
}

// withoutBodies is the number of exchanges without a requested body after which it is reported as a fault.
const withoutBodies = 10

// misconfigured reports a fault once. The name of the fault is a constant.
func (x *exchange) misconfigured(name, format string, args ...any) {
	x.server.misconfigured(x.ruleset, name, format, args...)
}

func (s *Server) misconfigured(rules *Ruleset, name, format string, args ...any) {
	if _, isReported := rules.check.reported.LoadOrStore(name, true); !isReported && s.Misconfigured != nil {
		s.Misconfigured(fmt.Sprintf(format, args...))
	}
}

// CheckEnvoyConfig is a [grpc.UnaryServerInterceptor] for health checks: it compares the rules from which the
// configuration of the calling Envoy was made ([ConfigHeader]) with the current rules.
func (s *Server) CheckEnvoyConfig(
	ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	s.compareConfig(metadataValue(ctx, ConfigHeader))
	return handler(ctx, request)
}

func (s *Server) compareConfig(has string) {
	defer func() {
		if err := enrich.AsPanic(recover()); err != nil { // of Rules or Misconfigured
			s.panicked("", err)
		}
	}()
	rules := s.Rules()
	if has != "" && rules.envoyConfig != "" && has != rules.envoyConfig {
		s.misconfigured(rules, "rules", "Envoy configuration differs: it was made from other rules (%.20s, weft has %s); "+
			"regenerate it with weft envoy", has, rules.envoyConfig)
	}
}

// checkFirst checks the first message of an exchange, and reports whether the exchange can continue.
func (x *exchange) checkFirst(m *extprocv3.ProcessingRequest, headers fields) bool {
	x.checkForwarded(headers, ":method")
	x.checkForwarded(headers, ":path")
	if m.GetObservabilityMode() {
		x.misconfigured("observability_mode", "Envoy does not wait for weft: "+
			"remove observability_mode from the ext_proc filter; "+
			"until then all responses pass")
		return false
	}
	modes := m.GetProtocolConfig()
	return x.checkMode("request_body_mode", modes.GetRequestBodyMode()) &&
		x.checkMode("response_body_mode", modes.GetResponseBodyMode())
}

// checkMode reports whether Envoy sends bodies only on request.
func (x *exchange) checkMode(name string, mode filterv3.ProcessingMode_BodySendMode) bool {
	if mode == filterv3.ProcessingMode_NONE {
		return true
	}
	x.misconfigured(name, "Envoy sends bodies unasked: set processing_mode.%s: NONE in the ext_proc filter, not %s; "+
		"until then all exchanges pass", name, mode)
	return false
}

// checkOrder checks a first message that is not a request. Envoy's local replies may come without a request.
func (x *exchange) checkOrder(first *extprocv3.ProcessingRequest) {
	if kindOf(first) == responseHeaders && envoyhttp.Origin(codeDetailsOf(first)) == enrich.OriginLegacy {
		x.misconfigured("request_header_mode", "Envoy does not send requests: "+
			"set processing_mode.request_header_mode: SEND in the ext_proc filter; "+
			"until then all responses pass")
	}
}

// checkForwarded checks for a header that all messages of a kind have.
func (x *exchange) checkForwarded(headers fields, name string) {
	if _, ok := headers.get(name); !ok {
		x.misconfigured(name, "Envoy does not forward %s: "+
			"add {exact: %q} to forward_rules.allowed_headers.patterns of the ext_proc filter, "+
			"or regenerate it with weft envoy; until then all responses pass", name, name)
	}
}

// checkResponse checks a message with response headers.
func (x *exchange) checkResponse(headers fields, details string) {
	x.checkForwarded(headers, ":status")
	if details == "" {
		x.misconfigured(codeDetails, "Envoy does not say who answered: "+
			"add response_attributes: [%s] to the ext_proc filter; "+
			"until then all responses pass", codeDetails)
	}
}

// checkBody counts requested bodies.
func (x *exchange) checkBody(received bool) {
	check := &x.ruleset.check
	if received {
		check.bodies.Add(1)
	} else if check.bodies.Load() == 0 && check.missing.Add(1) == withoutBodies {
		x.misconfigured("allow_mode_override", "Envoy never sends a body that was asked for: set allow_mode_override: true, "+
			"and no allowed_override_modes, in the ext_proc filter; until then all responses pass")
	}
}
