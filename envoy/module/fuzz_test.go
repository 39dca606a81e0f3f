package module_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"weft/enrich"
	"weft/envoy/module"
	"weft/internal/rulesfile"
)

// FuzzCallbacks calls the callbacks of a filter in a random order that Envoy's filter manager allows: the parts of a
// response in any size, scheduled events early, late or twice, a local reply in the place of the response, and the end
// of the stream at any time. Without -fuzz it does so 300 times.
func FuzzCallbacks(f *testing.F) {
	for seed := range uint64(300) {
		choices := make([]byte, 40)
		random := rand.New(rand.NewPCG(seed, 2))
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		f.Add(choices)
	}
	var rules []enrich.Rules
	for _, streams := range []bool{false, true} {
		list := rulesfile.Builtin().Rules
		for _, r := range list {
			r.CoreLimit, r.StreamLarge = 100<<10, streams
		}
		rules = append(rules, enrich.NewRules(list))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		e := &envoy{t: t, choices: input, events: make(chan struct{}, 1000)}
		e.run(rules[e.below(2)])
	})
}

// envoy calls a filter as the library's C code does.
type envoy struct {
	t       *testing.T
	choices []byte
	*fixture
	filter *module.Filter
	events chan struct{} // that are scheduled

	next                 module.Next
	limit                int
	forwards, isReceived bool
	hasEnded             bool // all of the body has arrived
	isLocal              bool // a local reply has replaced the response
	isDestroyed          bool
	buffered, received   string // parts of the body
	client               string // the body that the client gets
	outcome              string
}

// below returns a random number, or 0 after the end of the input.
func (e *envoy) below(n int) int {
	if len(e.choices) == 0 {
		return 0
	}
	i := int(e.choices[0]) % n
	e.choices = e.choices[1:]
	return i
}

// failing is a store that cannot be read.
type failing struct{}

func (failing) Find(_ context.Context, _ *enrich.Source, keys []enrich.Key) []enrich.Extension {
	found := make([]enrich.Extension, len(keys))
	for i := range found {
		found[i].Err = context.DeadlineExceeded
	}
	return found
}

// run runs one exchange.
func (e *envoy) run(rules enrich.Rules) {
	release := make(chan struct{})
	stores := []enrich.Store{store{}, store{release}, store{release}, failing{}, panicking{}}
	e.fixture = newFixtureWith(stores[e.below(len(stores))], rules)
	e.filter = e.OnRequest(e, headers(":method", "GET", ":path", "/api/v1/users/7"), "", true)

	large := strings.Replace(core, `"u"`, `"`+strings.Repeat("u", 80<<10)+`"`, 1)
	huge := strings.Replace(core, `"u"`, `"`+strings.Repeat("u", 300<<10)+`"`, 1)
	bodies := []string{core, core, large, huge, "", "<h1>", large[:80<<10], huge[:200<<10], enrich.ByteOrderMark + core}
	body := bodies[e.below(len(bodies))]
	isReleased := false
	for rest, began := body, false; !e.isDestroyed && (!began || !e.hasEnded || e.next == module.Wait); {
		switch op := e.below(12); {
		case op == 11:
			e.destroy()
		case op == 10 && began && e.next == module.Wait && !e.forwards:
			e.next, e.isLocal, rest = module.Continue, true, "" // the headers of a local reply
			e.buffered, body = "", ""
		case op == 9 && !isReleased:
			isReleased = true
			close(release)
		case op == 8 && began: // of nothing that has ended
			e.onScheduled()
		case !began:
			began = true
			e.begin(body)
		case op >= 5 && len(e.events) > 0:
			<-e.events
			e.onScheduled()
		case e.hasEnded && !isReleased:
			isReleased = true
			close(release)
		case e.hasEnded:
			<-e.events
			e.onScheduled()
		default:
			size := min(len(rest), []int{1 << 20, 1, 10, 1 << 10, 64 << 10}[e.below(5)])
			part := rest[:size]
			rest = rest[size:]
			if withTrailers := e.below(2) == 1; rest != "" || !withTrailers {
				e.onBody(part, rest == "")
			} else {
				e.onBody(part, false)
				e.onTrailers()
			}
		}
	}
	if !isReleased {
		close(release)
	}
	if !e.isDestroyed {
		e.check(body)
		e.destroy()
	}
	e.expectOneReport()
}

func (e *envoy) begin(body string) {
	statuses := []string{"200", "200", "200", "200", "500", "404"}
	pairs := []string{":status", statuses[e.below(len(statuses))]}
	if e.below(2) == 1 {
		pairs = append(pairs, "content-length", string(must(json.Marshal(len(body)))))
	}
	e.hasEnded = body == ""
	e.next, e.limit = e.filter.OnResponse(headers(pairs...), "via_upstream", e.hasEnded)
	e.forwards = e.next == module.Forward
	e.flush()
}

func must(b []byte, _ error) []byte { return b }

func (e *envoy) onBody(part string, isLast bool) {
	e.hasEnded = isLast
	e.received, e.isReceived = part, true
	switch {
	case e.next == module.Replaced:
		e.received = ""
	case e.next == module.Forward:
		e.next = e.filter.OnBody(isLast)
	case e.next == module.Collect && len(e.buffered)+len(part) > e.limit:
		e.next = e.filter.OnBody(false)
	case e.next == module.Collect && isLast:
		e.next = e.filter.OnBody(true)
	}
	e.buffered += e.received
	e.received, e.isReceived = "", false
	e.flush()
}

func (e *envoy) onTrailers() {
	e.hasEnded = true
	if e.next == module.Collect || e.next == module.Forward {
		e.next = e.filter.OnBody(true)
	}
	e.flush()
}

func (e *envoy) onScheduled() {
	if e.next != module.Wait {
		return
	}
	if e.forwards {
		e.next = module.Forward
	} else {
		e.next = e.filter.OnScheduled()
	}
	e.forwards = e.next == module.Forward
	if e.forwards && (e.hasEnded || e.buffered != "") {
		e.next = e.filter.OnBody(e.hasEnded)
	}
	e.flush()
}

// flush sends what has been held.
func (e *envoy) flush() {
	if e.next == module.Continue || e.next == module.Forward {
		e.client += e.buffered
		e.buffered = ""
	}
}

func (e *envoy) destroy() {
	e.isDestroyed = true
	e.filter.OnDestroy()
}

// check checks what the client gets of a complete exchange.
func (e *envoy) check(body string) {
	e.t.Helper()
	if e.isLocal {
		return
	}
	const extension = `,"extension":{},"errors":[]}`
	const noExtension = `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
	core := strings.TrimPrefix(body, enrich.ByteOrderMark)
	switch kind, reason, _ := strings.Cut(e.outcome, "; reason="); {
	case kind == "" || kind == "passed" || e.panics > 0:
		if e.client != body && e.next == module.Continue && kind != "streamed" {
			e.t.Errorf("%q: passed %d bytes of %d", e.outcome, len(e.client), len(body))
		}
	case kind == "composed" || kind == "streamed" && reason == "":
		if e.client != `{"core":`+core+extension && json.Valid([]byte(core)) {
			e.t.Errorf("%q: %.200q", e.outcome, e.client)
		}
	case kind == "streamed":
		if e.client != `{"core":`+core+noExtension && json.Valid([]byte(core)) {
			e.t.Errorf("%q: %.200q", e.outcome, e.client)
		}
	case !json.Valid([]byte(e.client)):
		e.t.Errorf("%q: %.200q", e.outcome, e.client)
	}
}

// expectOneReport checks the report of the exchange.
func (e *envoy) expectOneReport() {
	e.t.Helper()
	if len(e.reports) != 1 || e.open != 0 || e.panics > 1 {
		e.t.Errorf("%d reports, %d exchanges are open, %d panics", len(e.reports), e.open, e.panics)
	}
}

// changed fails if the stream was destroyed.
func (e *envoy) changed() {
	if e.isDestroyed || e.isLocal {
		e.t.Error("a change of a stream that has ended")
	}
}

// The methods of module.Stream.

func (e *envoy) ChangeRequest(enrich.Headers)    { e.changed() }
func (e *envoy) AddResponseHeader(enrich.Header) { e.changed() }
func (e *envoy) SetMetadata(*enrich.Report)      { e.changed() }
func (e *envoy) Claims() []byte                  { return nil }
func (e *envoy) Schedule()                       { e.events <- struct{}{} }
func (e *envoy) AppendBody(b []byte) []byte      { return append(append(b, e.buffered...), e.received...) }

func (e *envoy) ChangeResponse(h enrich.Headers) {
	e.changed()
	for _, h := range h.Set {
		if h.Name == enrich.OutcomeHeader {
			e.outcome = h.Value
		}
	}
}

func (e *envoy) ReplaceBody(body []byte) {
	e.changed()
	e.buffered, e.received = "", ""
	if e.isReceived {
		e.received = string(body)
	} else {
		e.buffered = string(body)
	}
}

func (e *envoy) Respond(_ int, headers []enrich.Header, body []byte) {
	e.ChangeResponse(enrich.Headers{Set: headers})
	e.client = string(body)
}
