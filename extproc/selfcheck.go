package extproc

import (
	"fmt"
	"sync"
	"sync/atomic"

	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"

	"weft/enrich"
)

// selfCheck looks for what is wrong in Envoy's configuration, as far as the messages show it. It tells of each thing
// once. The zero value is ready.
type selfCheck struct {
	told sync.Map // what was told

	// An Envoy that does not allow mode overrides never sends a body, and does not say why.
	bodies, without atomic.Int64 // exchanges that asked for a body: with one; without, while there was never one
}

// withoutBodies is how many exchanges have to end without the body that they asked for to be no coincidence.
const withoutBodies = 10

func (s *Server) tell(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if _, was := s.check.told.LoadOrStore(text, true); !was && s.Misconfigured != nil {
		s.Misconfigured(text)
	}
}

// checkFirst looks at the first message of an exchange. It reports whether the exchange can go on.
func (x *exchange) checkFirst(made string) bool {
	s := x.server
	s.checkShown(&x.request, ":method", ":path")
	if x.request.observed {
		s.tell("Envoy does not wait for weft: remove observability_mode from the ext_proc filter; until then all responses pass")
		return false
	}
	x.told = ParseAuthority(x.stream.Authority())
	x.generated = made != "" && x.told.Rules == made
	if made != "" && x.told.Rules != "" && x.told.Rules != made {
		s.tell("Envoy configuration differs: it was made for other rules (%s, weft has %s); regenerate it with weft envoy", x.told.Rules, made)
	}
	if x.told.Budget == 0 && s.Budget == 0 {
		s.tell("Envoy does not say how long it waits: add authority: budget-900ms.weft, a tenth less than the filter's message_timeout, to its grpc_service.envoy_grpc, " +
			"or start weft with --budget; until then answers that wait for MongoDB may come too late and pass")
	}
	for _, mode := range []struct {
		name string
		got  filterv3.ProcessingMode_BodySendMode
	}{
		{"request_body_mode", x.request.requestBodies},
		{"response_body_mode", x.request.responseBodies},
	} {
		if mode.got != filterv3.ProcessingMode_NONE {
			s.tell("Envoy sends bodies unasked: set processing_mode.%s: NONE in the ext_proc filter, not %s; until then all exchanges pass", mode.name, mode.got)
			return false
		}
	}
	return true
}

// RuleHeader is the gRPC metadata in which a route says for which rule it sends requests to the legacy service.
const RuleHeader = "x-weft-rule"

// routedBy reports whether Envoy has sent the request to the legacy service by the rule under which it falls. A pattern of a
// route can take a few requests that the rule does not, such as a number that is too large; the core would then be that of
// one rule, and the extension that of another. Such a route says its rule, if that makes a difference.
func (x *exchange) routedBy(rule *enrich.Rule) bool {
	n, name := x.stream.Metadata(RuleHeader)
	return n == 0 || name == rule.Name
}

// checkOrder looks at a first message that is no request. What Envoy itself answers can come without one.
func (s *Server) checkOrder(first *message) {
	if first.kind == responseHeaders && origin(string(first.codeDetails)) == enrich.OriginLegacy {
		s.tell("Envoy does not send requests: set processing_mode.request_header_mode: SEND in the ext_proc filter; until then all responses pass")
	}
}

// checkShown looks for headers that each message has.
func (s *Server) checkShown(m *message, names ...string) {
	for _, name := range names {
		if n, _ := m.header(name); n == 0 {
			s.tell("Envoy does not show %s: add {exact: %q} to forward_rules.allowed_headers.patterns of the ext_proc filter, or regenerate it with weft envoy; "+
				"until then all responses pass", name, name)
		}
	}
}

// checkResponse looks at a message with response headers.
func (s *Server) checkResponse(m *message) {
	s.checkShown(m, ":status")
	if m.codeDetails == nil {
		s.tell("Envoy does not say who answered: add response_attributes: [%s] to the ext_proc filter; until then all responses pass", codeDetails)
	}
}

// checkBody counts the bodies that were asked for.
func (s *Server) checkBody(came bool) {
	if came {
		s.check.bodies.Add(1)
		return
	}
	if s.check.bodies.Load() == 0 && s.check.without.Add(1) == withoutBodies {
		s.tell("Envoy never sends a body that was asked for: set allow_mode_override: true, and no allowed_override_modes, in the ext_proc filter; until then all responses pass")
	}
}
