package module_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weft/enrich"
	"weft/envoy/module"
	"weft/internal/rulesfile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stream records the changes that a filter makes.
type stream struct {
	request, response enrich.Headers
	added             []enrich.Header
	body, replaced    string
	replacedBody      bool
	claims            string
	responded         int
	metadata          []enrich.Outcome
	scheduled         chan struct{}
}

func (s *stream) ChangeRequest(h enrich.Headers)    { s.request = h }
func (s *stream) ChangeResponse(h enrich.Headers)   { s.response = h }
func (s *stream) AddResponseHeader(h enrich.Header) { s.added = append(s.added, h) }
func (s *stream) AppendBody(b []byte) []byte        { return append(b, s.body...) }
func (s *stream) ReplaceBody(body []byte)           { s.replaced, s.replacedBody = string(body), true }
func (s *stream) SetMetadata(r *enrich.Report)      { s.metadata = append(s.metadata, r.Outcome) }
func (s *stream) Claims() []byte                    { return []byte(s.claims) }
func (s *stream) Schedule()                         { s.scheduled <- struct{}{} }
func (s *stream) Respond(n int, _ []enrich.Header, body []byte) {
	s.responded, s.replaced = n, string(body)
}

// outcome is the value of the x-weft header that the client gets.
func (s *stream) outcome() string {
	i := slices.IndexFunc(s.response.Set, func(h enrich.Header) bool { return h.Name == "x-weft" })
	if i < 0 {
		return ""
	}
	return s.response.Set[i].Value
}

func headers(pairs ...string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for i := 0; i < len(pairs); i += 2 {
			if !yield(pairs[i], []byte(pairs[i+1])) {
				return
			}
		}
	}
}

// store returns documents when release is closed; immediately if it is nil.
type store struct{ release chan struct{} }

func (s store) Find(ctx context.Context, _ *enrich.Source, keys []enrich.Key) []enrich.Extension {
	found := make([]enrich.Extension, len(keys))
	for i := range found {
		found[i].JSON = []byte(`{}`)
	}
	if s.release != nil {
		select {
		case <-s.release:
		case <-ctx.Done():
			for i := range found {
				found[i] = enrich.Extension{Err: ctx.Err()}
			}
		}
	}
	return found
}

type panicking struct{}

func (panicking) Find(context.Context, *enrich.Source, []enrich.Key) []enrich.Extension { panic("no") }

type panickingStream struct{ stream }

func (*panickingStream) ChangeRequest(enrich.Headers) { panic("no") }

// fixture is the configuration of a filter, with its reports.
type fixture struct {
	*module.Config
	reports []enrich.Report
	panics  int
	open    int
}

func newFixture(s enrich.Store) *fixture {
	return newFixtureWith(s, enrich.NewRules(rulesfile.Builtin().Rules))
}

func newFixtureWith(s enrich.Store, rules enrich.Rules) *fixture {
	f := &fixture{}
	f.Config = &module.Config{
		Rules:        func() (enrich.Rules, time.Duration) { return rules, time.Minute },
		Store:        s,
		ServerTiming: true,
		Report:       func(r *enrich.Report) { f.reports = append(f.reports, *r) },
		Open:         func(n int) { f.open += n },
		Panicked:     func(string, *enrich.PanicError) { f.panics++ },
	}
	return f
}

const core = `{"userId":7,"username":"u","email":"e","createdAt":"c"}`

// begin sends a request that matches the rule "user".
func (f *fixture) begin(t *testing.T, more ...string) (*module.Filter, *stream) {
	t.Helper()
	s := &stream{scheduled: make(chan struct{}, 100)}
	filter := f.OnRequest(s, headers(append([]string{":method", "GET", ":path", "/api/v1/users/7"}, more...)...), "", true)
	if filter == nil {
		t.Fatal("no rule matches")
	}
	return filter, s
}

func expect(t *testing.T, got, want module.Next) {
	t.Helper()
	if got != want {
		t.Fatalf("next: %d, want %d", got, want)
	}
}

func (f *fixture) expectReport(t *testing.T, want string) enrich.Report {
	t.Helper()
	if len(f.reports) != 1 || f.reports[0].Outcome.String() != want {
		t.Fatalf("reports %+v, want one: %s", f.reports, want)
	}
	return f.reports[0]
}

// TestWait: a callback does not wait for MongoDB; the response continues when the read has ended.
func TestWait(t *testing.T) {
	release := make(chan struct{})
	f := newFixture(store{release})
	filter, s := f.begin(t, "x-weft-forged", "1", "x-request-id", "r")
	if !slices.Contains(s.request.Remove, "x-weft-forged") || !slices.Contains(s.request.Remove, "if-none-match") {
		t.Errorf("removed from the request: %q", s.request.Remove)
	}
	next, limit := filter.OnResponse(headers(":status", "200", "content-length", "55"), "via_upstream", false)
	expect(t, next, module.Collect)
	if limit != 1<<20 {
		t.Errorf("limit %d", limit)
	}
	s.body = core
	expect(t, filter.OnBody(true), module.Wait)
	close(release)
	<-s.scheduled
	expect(t, filter.OnScheduled(), module.Continue)
	if want := `{"core":` + core + `,"extension":{},"errors":[]}`; s.replaced != want || s.outcome() != "composed" {
		t.Errorf("%s: %s, want %s", s.outcome(), s.replaced, want)
	}
	if len(s.added) != 1 || s.added[0].Name != "server-timing" {
		t.Errorf("added %v", s.added)
	}
	filter.OnDestroy()
	r := f.expectReport(t, "composed")
	if r.Rule != "user" || r.RequestID != "r" || r.CoreSize != len(core) ||
		r.AnswerSize != len(s.replaced) || len(r.Reads) != 1 {
		t.Errorf("%+v", r)
	}
}

// TestAtOnce: a callback replaces the body if the read has ended.
func TestAtOnce(t *testing.T) {
	f := newFixture(store{})
	filter, s := f.begin(t)
	filter.OnResponse(headers(":status", "200"), "via_upstream", false)
	s.body = core
	next := filter.OnBody(true)
	if next == module.Wait { // the read has its own goroutine
		<-s.scheduled
		next = filter.OnScheduled()
	}
	expect(t, next, module.Continue)
	filter.OnDestroy()
	f.expectReport(t, "composed")
}

// TestLargeBody: a goroutine parses a large or encoded body.
func TestLargeBody(t *testing.T) {
	large := strings.Repeat("u", 70<<10)
	for name, test := range map[string]struct{ body, want string }{
		"a core":     {strings.Replace(core, `"u"`, `"`+large+`"`, 1), "composed"},
		"no core":    {large, "degraded; reason=core-invalid"},
		"compressed": {"no gzip", "degraded; reason=core-invalid"},
	} {
		f := newFixture(store{})
		filter, s := f.begin(t)
		encoding := ""
		if name == "compressed" {
			encoding = "gzip"
		}
		filter.OnResponse(headers(":status", "200", "content-encoding", encoding), "via_upstream", false)
		s.body = test.body
		expect(t, filter.OnBody(true), module.Wait)
		<-s.scheduled
		expect(t, filter.OnScheduled(), module.Continue)
		filter.OnDestroy()
		f.expectReport(t, test.want)
	}
}

// TestDestroyed: Envoy destroys a stream that waits for MongoDB. The read ends, and its result is dropped.
func TestDestroyed(t *testing.T) {
	f := newFixture(store{make(chan struct{})})
	filter, s := f.begin(t)
	filter.OnResponse(headers(":status", "200"), "via_upstream", false)
	s.body = core
	expect(t, filter.OnBody(true), module.Wait)
	if f.open != 1 {
		t.Errorf("%d exchanges are open, want 1", f.open)
	}
	filter.OnDestroy()
	<-s.scheduled
	f.expectReport(t, "passed; reason=stream-ended")
	if f.open != 0 {
		t.Errorf("%d exchanges are open", f.open)
	}
	if s.replaced != "" {
		t.Errorf("replaced the body of a destroyed stream: %s", s.replaced)
	}
}

func TestTooLarge(t *testing.T) {
	f := newFixture(store{})
	filter, s := f.begin(t)
	filter.OnResponse(headers(":status", "200"), "via_upstream", false)
	expect(t, filter.OnBody(false), module.Continue)
	filter.OnDestroy()
	f.expectReport(t, "passed; reason=core-too-large")
	if s.outcome() != "passed; reason=core-too-large" || s.replaced != "" {
		t.Errorf("%s, %q", s.outcome(), s.replaced)
	}
}

// TestEndlessError: an error page that exceeds the limit is replaced before its end.
func TestEndlessError(t *testing.T) {
	release := make(chan struct{})
	f := newFixture(store{release})
	filter, s := f.begin(t)
	next, _ := filter.OnResponse(headers(":status", "500"), "via_upstream", false)
	expect(t, next, module.Collect)
	expect(t, filter.OnBody(false), module.Wait)
	close(release)
	<-s.scheduled
	expect(t, filter.OnScheduled(), module.Replaced)
	if s.responded != 200 || !strings.HasPrefix(s.replaced, `{"core":null,`) {
		t.Errorf("%d %s", s.responded, s.replaced)
	}
	filter.OnDestroy()
	f.expectReport(t, "degraded; reason=legacy-error")
}

// TestPanics: the legacy response passes if a callback or a goroutine panics.
func TestPanics(t *testing.T) {
	f := newFixture(panicking{})
	filter, s := f.begin(t)
	filter.OnResponse(headers(":status", "200"), "via_upstream", false)
	s.body = core
	next := filter.OnBody(true)
	if next == module.Wait {
		<-s.scheduled
		next = filter.OnScheduled()
	}
	expect(t, next, module.Continue)
	filter.OnDestroy()
	f.expectReport(t, "passed; reason=panic")
	if f.panics != 1 || s.replaced != "" {
		t.Errorf("%d panics, %q", f.panics, s.replaced)
	}

	f = newFixture(store{})
	f.Rules = func() (enrich.Rules, time.Duration) { panic("no") }
	if f.OnRequest(&stream{}, headers(":method", "GET", ":path", "/api/v1/users/7"), "", true) != nil || f.panics != 1 {
		t.Errorf("a filter after a panic; %d panics", f.panics)
	}

	f.Report = func(*enrich.Report) { panic("no") }
	f.Panicked = func(string, *enrich.PanicError) { panic("no") }
	if f.OnRequest(&stream{}, headers(":method", "GET", ":path", "/api/v1/users/7"), "", true) != nil {
		t.Error("a filter after several panics")
	}

	f = newFixture(store{})
	if f.OnRequest(&panickingStream{}, headers(":method", "GET", ":path", "/api/v1/users/7"), "", true) != nil ||
		f.panics != 1 || f.open != 0 {
		t.Errorf("a filter after a panic; %d panics, %d exchanges are open", f.panics, f.open)
	}

	f = newFixture(store{})
	f.Report = func(*enrich.Report) { panic("no") }
	filter, _ = f.begin(t)
	next, _ = filter.OnResponse(headers(":status", "404"), "via_upstream", false)
	expect(t, next, module.Continue)
	filter.OnDestroy()
	if f.panics != 1 {
		t.Errorf("%d panics", f.panics)
	}
}

func TestHead(t *testing.T) {
	f := newFixture(panicking{}) // nothing is read
	filter, s := f.begin(t, ":method", "HEAD")
	next, _ := filter.OnResponse(headers(":status", "200", "content-length", "55"), "via_upstream", true)
	expect(t, next, module.Continue)
	filter.OnDestroy()
	f.expectReport(t, "passed; reason=head")
	if !slices.Contains(s.response.Remove, "content-length") {
		t.Errorf("removed %q", s.response.Remove)
	}
}

// TestNoContent: the response to a POST passes if it has no body.
func TestNoContent(t *testing.T) {
	rule := *rulesfile.Builtin().Rules[0]
	rule.Methods = []string{"POST"}
	rules := enrich.NewRules([]*enrich.Rule{&rule})
	f := newFixture(store{})
	f.Rules = func() (enrich.Rules, time.Duration) { return rules, time.Minute }
	filter, s := f.begin(t, ":method", "POST")
	next, _ := filter.OnResponse(headers(":status", "204"), "via_upstream", true)
	expect(t, next, module.Continue)
	filter.OnDestroy()
	f.expectReport(t, "passed; reason=no-content")
	if s.outcome() != "passed; reason=no-content" {
		t.Error(s.outcome())
	}
}

// TestAuthenticated: a claim that equals the parameter allows a response without a core.
func TestAuthenticated(t *testing.T) {
	rule := *rulesfile.Builtin().Rules[0]
	rule.Degrade, rule.Identity = enrich.DegradeAuthenticated, enrich.Claim{Payload: "token", Name: "user"}
	rules := enrich.NewRules([]*enrich.Rule{&rule})
	for claims, want := range map[string]module.Next{
		`{"token":{"user":"7"}}`:  module.Collect,
		`{"token":{"user":7}}`:    module.Collect,
		`{"token":{"user":8}}`:    module.Continue,
		`{"token":{"user":null}}`: module.Continue,
		`{"token":7}`:             module.Continue,
		``:                        module.Continue,
	} {
		f := newFixture(store{})
		f.Rules = func() (enrich.Rules, time.Duration) { return rules, time.Minute }
		s := &stream{claims: claims}
		filter := f.OnRequest(s, headers(":method", "GET", ":path", "/api/v1/users/7"), "", true)
		next, _ := filter.OnResponse(headers(":status", "500"), "via_upstream", false)
		if next != want {
			t.Errorf("%s: next %d, want %d", claims, next, want)
		}
		filter.OnDestroy()
	}
}

// TestNoRule: an upgrade matches no rule, nor does a request whose core is that of another rule.
func TestNoRule(t *testing.T) {
	for _, test := range []struct{ path, header, routed string }{
		{"/api/v1/users/07", "", ""},
		{"/api/v1/users/7", "", "composite-profile"},
		{"/api/v1/users/7", "upgrade", ""},
	} {
		f := newFixture(store{})
		if f.OnRequest(&stream{}, headers(":method", "GET", ":path", test.path, test.header, ""), test.routed, true) != nil {
			t.Errorf("%v matches", test)
		}
		f.expectReport(t, "passed; reason=no-rule")
	}
}

// TestNeverDegrades: if the rule never degrades, a body that is not a core passes, whether the callback or the
// goroutine parses it.
func TestNeverDegrades(t *testing.T) {
	for name, body := range map[string]string{"small": "<h1>", "large": strings.Repeat("<h1>", 64<<10)} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(store{})
			rule := *rulesfile.Builtin().Rules[0]
			rule.Degrade = enrich.DegradeNever
			rules := enrich.NewRules([]*enrich.Rule{rule.Ready()})
			f.Rules = func() (enrich.Rules, time.Duration) { return rules, time.Minute }
			filter, s := f.begin(t)
			s.body = body
			filter.OnResponse(headers(":status", "200"), "via_upstream", false)
			next := filter.OnBody(true)
			if next == module.Wait {
				<-s.scheduled
				next = filter.OnScheduled()
			}
			expect(t, next, module.Continue)
			if s.replaced != "" || s.outcome() != "passed; reason=not-degraded" {
				t.Errorf("x-weft %q, body %.20q", s.outcome(), s.replaced)
			}
			filter.OnDestroy()
			f.expectReport(t, "passed; reason=not-degraded")
		})
	}
}

// TestSelection: weft rejects a request with unknown names before the legacy service gets it, and removes the parameter
// of others.
func TestSelection(t *testing.T) {
	f := newFixture(store{})
	rule := *rulesfile.Builtin().Rules[0]
	rule.Select = enrich.Select{Param: "fields"}
	rules := enrich.NewRules([]*enrich.Rule{rule.Ready()})
	f.Rules = func() (enrich.Rules, time.Duration) { return rules, time.Minute }

	s := &stream{}
	if f.OnRequest(s, headers(":method", "GET", ":path", "/api/v1/users/7?fields=tags"), "", true) != nil {
		t.Error("a rejected request continues")
	}
	if s.responded != 400 || !strings.Contains(s.replaced, `"unknown":["tags"]`) || len(s.metadata) != 1 || f.open != 0 {
		t.Errorf("%+v", s)
	}
	f.expectReport(t, "rejected; reason=unknown-member")
	f.reports = nil

	filter, s := f.begin(t, ":path", "/api/v1/users/7?a=1&fields=core.email&b")
	if i := slices.IndexFunc(s.request.Set, func(h enrich.Header) bool { return h.Name == ":path" }); i < 0 ||
		s.request.Set[i].Value != "/api/v1/users/7?a=1&b" {
		t.Errorf("request %v", s.request)
	}
	filter.OnResponse(headers(":status", "200"), "via_upstream", false)
	s.body = core
	expect(t, filter.OnBody(true), module.Continue) // there is no read to wait for
	if want := `{"core":{"email":"e"},"errors":[]}`; s.replaced != want {
		t.Errorf("%s, want %s", s.replaced, want)
	}
	filter.OnDestroy()
	f.expectReport(t, "composed")
}
