package extproc_test

import (
	"context"
	"io"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/metadata"

	"weft/enrich"
	"weft/extproc"
	"weft/internal/rulesfile"
	"weft/test/storetest"
)

// script is a Stream without a network: it has the messages to receive, and records the replies.
type script struct {
	ctx      context.Context //nolint:containedctx // a Stream has one
	messages []*extprocv3.ProcessingRequest
	replies  []*extprocv3.ProcessingResponse
}

func (s *script) Context() context.Context { return s.ctx }

func (s *script) Receive() (*extprocv3.ProcessingRequest, error) {
	if len(s.messages) == 0 {
		return nil, io.EOF
	}
	m := s.messages[0]
	s.messages = s.messages[1:]
	return m, nil
}

func (s *script) Send(r *extprocv3.ProcessingResponse) error {
	s.replies = append(s.replies, r)
	return nil
}

type panickingStore struct{}

func (panickingStore) Find(context.Context, *enrich.Source, []enrich.Key) []enrich.Extension {
	panic("a fault in the store")
}

// TestPanicOfCallbacks: a panic in any callback does not end the process.
func TestPanicOfCallbacks(t *testing.T) {
	rules := extproc.NewRuleset(rulesfile.Builtin().Rules, "rules")
	var panics int
	count := func(string, *enrich.PanicError) { panics++ }
	for name, test := range map[string]struct {
		server extproc.Server
		panics int
	}{
		"Rules": {extproc.Server{Rules: func() *extproc.Ruleset { panic("Rules") }, Panicked: count}, 1},
		"Report, of an exchange that panicked": {extproc.Server{
			Store: panickingStore{}, Report: func(*enrich.Report) { panic("Report") }, Panicked: count,
		}, 2},
		"Misconfigured": {extproc.Server{Misconfigured: func(string) { panic("Misconfigured") }, Panicked: count}, 1},
		"Panicked": {extproc.Server{
			Store: panickingStore{}, Panicked: func(string, *enrich.PanicError) { panics++; panic("Panicked") },
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			panics = 0
			s := test.server
			if s.Rules == nil {
				s.Rules = func() *extproc.Ruleset { return rules }
			}
			response := responseHeaders("via_upstream", false, ":status", "200")
			if s.Misconfigured != nil {
				response.Attributes = nil
			}
			stream := &script{ctx: t.Context(), messages: messages{get7(), response, responseBody(core7, true)}}
			if err := s.Process(stream); err != nil {
				t.Errorf("Process: %v", err)
			}
			if panics != test.panics {
				t.Errorf("%d panics, want %d", panics, test.panics)
			}
			rules := metadata.NewIncomingContext(t.Context(), metadata.Pairs(extproc.ConfigHeader, "others"))
			if ok, err := s.CheckEnvoyConfig(rules, nil, nil, func(context.Context, any) (any, error) {
				return "serving", nil
			}); ok != "serving" || err != nil {
				t.Errorf("health check: %v, %v", ok, err)
			}
		})
	}
}

// TestPanicEndsTheExchange: the exchange ends, so that the legacy response passes; the panic is reported with its rule
// and the stack of the goroutine that panicked, and the exchange is reported once.
func TestPanicEndsTheExchange(t *testing.T) {
	for name, test := range map[string]struct {
		store   enrich.Store
		report  func(*enrich.Report)
		replies int    // before the panic
		value   any    // of the panic
		stack   string // in it
		reason  enrich.Reason
	}{
		"in a read": {panickingStore{}, nil, 2, "a fault in the store", "panickingStore", enrich.Panicked},
		"in a batch": {
			enrich.Batch(panickingStore{}), nil, 2, "a fault in the store", "panickingStore", enrich.Panicked,
		},
		"in the report": {
			storetest.Mem{},
			func(*enrich.Report) { panic("a fault in the report") }, 3,
			"a fault in the report", "TestPanic", "",
		},
		"in the exchange": {nil, nil, 2, "", "enrich.Start", enrich.Panicked},
	} {
		t.Run(name, func(t *testing.T) {
			var reports []enrich.Report
			var panics []*enrich.PanicError
			rules := extproc.NewRuleset(rulesfile.Builtin().Rules, "")
			s := extproc.Server{
				Rules: func() *extproc.Ruleset { return rules },
				Store: test.store,
				Report: func(r *enrich.Report) {
					reports = append(reports, *r)
					if test.report != nil {
						test.report(r)
					}
				},
				Panicked: func(rule string, err *enrich.PanicError) {
					panics = append(panics, err)
					if rule != "user" {
						t.Errorf("the panic is of rule %q", rule)
					}
				},
			}
			stream := &script{ctx: t.Context(), messages: []*extprocv3.ProcessingRequest{
				get7(), responseHeaders("via_upstream", false, ":status", "200"), responseBody(core7, true),
			}}
			if err := s.Process(stream); err != nil {
				t.Errorf("the stream ends with %v; want nil", err)
			}
			if len(stream.replies) != test.replies {
				t.Errorf("%d replies: %v", len(stream.replies), stream.replies)
			}
			if len(panics) != 1 || test.value != "" && panics[0].Value != test.value ||
				!strings.Contains(string(panics[0].Stack), test.stack) {
				t.Errorf("panics: %v", panics)
			}
			want := enrich.Outcome{Disposition: enrich.Passed, Reason: test.reason}
			if len(reports) != 1 || test.reason != "" && reports[0].Outcome != want {
				t.Errorf("reports: %+v", reports)
			}
		})
	}
}
