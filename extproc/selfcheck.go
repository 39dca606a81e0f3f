package extproc

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

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
	x.envoyBudget = x.budgetOfEnvoy()
	_, config := x.stream.Metadata(ConfigHeader)
	x.generated = made != "" && config == made
	if made != "" && config != "" && config != made {
		s.tell("Envoy configuration differs: it was made from other rules (%s, weft has %s); regenerate it with weft envoy", config, made)
	}
	if x.envoyBudget == 0 && s.Budget == 0 {
		s.tell("Envoy does not send its timeout: add initial_metadata: [{key: %s, value: 900ms}], a tenth less than the filter's message_timeout, to its grpc_service, "+
			"or start weft with --budget; until then answers that wait for MongoDB may come too late and pass", BudgetHeader)
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

// The gRPC metadata in which Envoy's configuration sends its own values. All of it is optional.
const (
	// BudgetHeader is how long weft may keep the filter waiting, as a Go duration. It should be a little less than the
	// filter's message_timeout, after which Envoy passes the legacy response without weft.
	BudgetHeader = "x-weft-budget"

	// ConfigHeader identifies the rules from which the configuration was made (Ruleset.EnvoyConfig).
	ConfigHeader = "x-weft-config"

	// RuleHeader is the name of the rule whose route the request took.
	RuleHeader = "x-weft-rule"
)

// budgetOfEnvoy returns zero if Envoy does not send its budget, or sends one that is not a positive duration.
func (x *exchange) budgetOfEnvoy() time.Duration {
	_, value := x.stream.Metadata(BudgetHeader)
	budget, err := time.ParseDuration(value)
	if err != nil {
		return 0
	}
	return max(0, budget)
}

// hasCoreOf reports whether the legacy service is asked for the core of rule. The route of another rule takes a few requests
// that it should not, such as a number that is too large, and its core would be joined with the extension of this rule. It is
// the same core if neither rule has a legacy_path.
func (x *exchange) hasCoreOf(rule *enrich.Rule, rules enrich.Rules) bool {
	n, name := x.stream.Metadata(RuleHeader)
	if n == 0 || name == rule.Name {
		return true
	}
	routed, ok := rules.Named(name)
	return ok && routed.LegacyPath.IsZero() && rule.LegacyPath.IsZero()
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
