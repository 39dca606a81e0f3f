package extproc

import (
	"context"
	"fmt"
	"sync/atomic"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// selfCheck looks for faults in Envoy's configuration, as far as the messages show them. The zero value is ready.
type selfCheck struct {
	reported [numFaults]atomic.Bool

	// An Envoy that does not allow mode overrides never sends a body, and does not say why.
	bodies, missing atomic.Int64 // exchanges that asked for a body: with one; without one, while there was never one
}

// fault is something wrong in Envoy's configuration.
type fault int

const (
	observabilityMode fault = iota
	otherRules
	requestBodies
	responseBodies
	noRequests
	noMethod
	noPath
	noStatus
	noCodeDetails
	noBodies
	numFaults
)

// withoutBodies is how many exchanges must end without the body that they asked for to be no coincidence.
const withoutBodies = 10

// misconfigured reports a fault, once.
func (x *exchange) misconfigured(f fault, format string, args ...any) {
	x.server.misconfigured(x.ruleset, f, format, args...)
}

func (s *Server) misconfigured(rules *Ruleset, f fault, format string, args ...any) {
	if rules.check.reported[f].CompareAndSwap(false, true) && s.Misconfigured != nil {
		s.Misconfigured(fmt.Sprintf(format, args...))
	}
}

// CheckEnvoyConfig is a [grpc.UnaryServerInterceptor] for health checks: it compares the rules from which the
// configuration of the calling Envoy was made ([ConfigHeader]) with those in force.
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
		s.misconfigured(rules, otherRules, "Envoy configuration differs: it was made from other rules (%.20s, weft has %s); "+
			"regenerate it with weft envoy", has, rules.envoyConfig)
	}
}

// checkFirst looks at the first message of an exchange. It reports whether the exchange can go on.
func (x *exchange) checkFirst(m *extprocv3.ProcessingRequest, headers fields) bool {
	x.checkForwarded(headers, ":method", noMethod)
	x.checkForwarded(headers, ":path", noPath)
	if m.GetObservabilityMode() {
		x.misconfigured(observabilityMode, "Envoy does not wait for weft: "+
			"remove observability_mode from the ext_proc filter; "+
			"until then all responses pass")
		return false
	}
	modes := m.GetProtocolConfig()
	return x.checkMode(requestBodies, "request_body_mode", modes.GetRequestBodyMode()) &&
		x.checkMode(responseBodies, "response_body_mode", modes.GetResponseBodyMode())
}

// checkMode reports whether bodies come only if weft asks for them.
func (x *exchange) checkMode(f fault, name string, mode filterv3.ProcessingMode_BodySendMode) bool {
	if mode == filterv3.ProcessingMode_NONE {
		return true
	}
	x.misconfigured(f, "Envoy sends bodies unasked: set processing_mode.%s: NONE in the ext_proc filter, not %s; "+
		"until then all exchanges pass", name, mode)
	return false
}

// checkOrder looks at a first message that is no request. Envoy's local replies can come without one.
func (x *exchange) checkOrder(first *extprocv3.ProcessingRequest) {
	details, _ := codeDetailsOf(first)
	if kindOf(first) == responseHeaders && envoyhttp.Origin(details) == enrich.OriginLegacy {
		x.misconfigured(noRequests, "Envoy does not send requests: "+
			"set processing_mode.request_header_mode: SEND in the ext_proc filter; "+
			"until then all responses pass")
	}
}

// checkForwarded looks for a header that each message has.
func (x *exchange) checkForwarded(headers fields, name string, f fault) {
	if _, ok := headers.get(name); !ok {
		x.misconfigured(f, "Envoy does not forward %s: "+
			"add {exact: %q} to forward_rules.allowed_headers.patterns of the ext_proc filter, "+
			"or regenerate it with weft envoy; until then all responses pass", name, name)
	}
}

// checkResponse looks at a message with response headers.
func (x *exchange) checkResponse(headers fields, hasDetails bool) {
	x.checkForwarded(headers, ":status", noStatus)
	if !hasDetails {
		x.misconfigured(noCodeDetails, "Envoy does not say who answered: "+
			"add response_attributes: [%s] to the ext_proc filter; "+
			"until then all responses pass", codeDetails)
	}
}

// checkBody counts the bodies that were asked for.
func (x *exchange) checkBody(received bool) {
	check := &x.ruleset.check
	if received {
		check.bodies.Add(1)
	} else if check.bodies.Load() == 0 && check.missing.Add(1) == withoutBodies {
		x.misconfigured(noBodies, "Envoy never sends a body that was asked for: set allow_mode_override: true, "+
			"and no allowed_override_modes, in the ext_proc filter; until then all responses pass")
	}
}
