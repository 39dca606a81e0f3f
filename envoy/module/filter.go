// Package module is the join inside Envoy's process, as the callbacks of an HTTP filter of Envoy's dynamic modules. The
// decisions are those of package enrich, as in package extproc; what differs is that Envoy calls, and must never wait.
// The library that Envoy loads is in envoy/module/libweft.
package module

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"time"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// Config is what all streams of a filter share. Its fields must not change while it is used.
type Config struct {
	// Rules returns the rules in force, and how long an answer may wait for MongoDB once the core is there; 0 has no
	// end.
	Rules func() (enrich.Rules, time.Duration)
	Store enrich.Store

	// ServerTiming adds a server-timing header to answers.
	ServerTiming bool

	// Report, if not nil, is called with the report of each exchange that has ended. It is called by several workers at
	// the same time, and must not keep the report.
	Report func(*enrich.Report)

	// Open, if not nil, is called with 1 when an exchange with a rule begins, and with -1 when its stream is gone.
	Open func(exchanges int)

	// Panicked, if not nil, is called with each panic that was recovered, and the rule of its exchange.
	Panicked func(rule string, err *enrich.PanicError)

	// Now returns the time; nil means time.Now.
	Now func() time.Time
}

// Stream is a stream of Envoy. Its methods are for callbacks, except Schedule.
type Stream interface {
	ChangeRequest(enrich.Headers)
	ChangeResponse(enrich.Headers)

	// AddResponseHeader adds a header to those of the same name.
	AddResponseHeader(enrich.Header)

	// Body returns a copy of the body of the response, as far as it has come.
	Body() []byte

	// ReplaceBody replaces the body of the response.
	ReplaceBody(body []byte)

	// Respond answers in place of the response, of which nothing is left.
	Respond(status int, headers []enrich.Header, body []byte)

	// SetMetadata sets the dynamic metadata for Envoy's access log.
	SetMetadata(*enrich.Report)

	// Schedule has Envoy call OnScheduled, unless the stream is gone by then. Any goroutine may call it.
	Schedule()
}

// Next is what Envoy does when a callback has returned.
type Next int

// The values are known to the library's C code.
const (
	Continue Next = iota // continue; of the callbacks only OnDestroy follows
	Collect              // hold the response until its body is whole or exceeds a limit, then call OnBody
	Wait                 // hold the response until OnScheduled
	Replaced             // Respond has answered
)

// Filter is one exchange:
//
//	Envoy                                weft
//	  OnRequest ─────────────────────────▶  match      no rule ──▶ nil: no callback follows
//	                                        start to read the extension
//	  ◀───────────── always continue        (not for HEAD)
//	  (the legacy service and MongoDB work concurrently)
//	  OnResponse ────────────────────────▶  verdict    pass ─────▶ mark, Continue
//	                                                   degrade ──▶ the same as below, without a core
//	  ◀───────────── Collect
//	  OnBody ────────────────────────────▶  parse      too large ▶ mark, Continue
//	                                        answer     extension is there ▶ replace the body, Continue
//	  ◀───────────── Wait
//	  (a goroutine waits for MongoDB, and composes)
//	  OnScheduled ───────────────────────▶  replace the body, Continue
//	  OnDestroy, at any time ────────────▶  stop the reads
//
// The callbacks of a stream are called by one worker of Envoy, one after the other, and they return without waiting.
// What waits, or parses more than a few kilobytes, is in a goroutine, which sees no field of the Filter that a callback
// changes: its result goes through a channel. A panic in either lets the legacy response pass.
type Filter struct {
	config *Config
	stream Stream
	budget time.Duration
	report enrich.Report
	clock  envoyhttp.Clock

	rule        *enrich.Rule
	params      []enrich.Value
	method      string
	ifNoneMatch string
	read        *enrich.Read // nil for HEAD

	response    enrich.Response
	degraded    enrich.Reason // why there is no core; empty if there may be one
	exactLength bool          // the length of the response is known
	immediately bool          // the answer does not wait for the end of the legacy body
	result      chan result   // of the goroutine; nil before it starts
	reported    bool
}

// maxOnWorker is the largest body in bytes that a callback parses itself: larger ones would hold up other streams.
const maxOnWorker = 64 << 10

// OnRequest begins an exchange. The names of headers are in lower case, and names and values are only valid during the
// call. routed is the name of the rule that the route is for; empty if unknown. It returns nil if no rule
// matches.
func (c *Config) OnRequest(stream Stream, headers iter.Seq2[string, []byte], routed string) (f *Filter) {
	f = &Filter{config: c, stream: stream, clock: envoyhttp.Clock{Now: c.Now}}
	if c.Now == nil {
		f.clock.Now = time.Now
	}
	defer func() {
		if f.recovered(recover()) {
			f = nil
		}
	}()
	f.clock.Received(&f.report.Times)
	var request enrich.Request
	var forged []string // headers that only weft may set
	var traceParent string
	for name, value := range headers {
		envoyhttp.AddRequestHeader(&request, name, value)
		switch {
		case name == "x-request-id":
			f.report.RequestID = string(value)
		case name == "traceparent":
			traceParent = string(value)
		case len(name) >= len(enrich.OutcomeHeader) && name[:len(enrich.OutcomeHeader)] == enrich.OutcomeHeader:
			forged = append(forged, string([]byte(name))) // a copy: the name is Envoy's
		}
	}
	envoyhttp.EndRequestHeaders(&request)
	rules, budget := c.Rules()
	rule, params, ok := rules.Match(request)
	if !ok || !envoyhttp.HasCoreOf(rules, routed, rule) {
		f.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: enrich.NoRule})
		return nil
	}
	f.rule, f.params, f.budget = rule, params, budget
	f.method, f.ifNoneMatch = request.Method, request.IfNoneMatch
	f.report.Rule, f.report.Trace = rule.Name, envoyhttp.Trace(traceParent)
	if request.Method != http.MethodHead {
		f.read = enrich.Fetch(context.Background(), c.Store, rule, params)
	}
	change := enrich.LegacyRequest(request.Method)
	if len(forged) > 0 {
		change.Remove = append(append([]string{}, change.Remove...), forged...)
	}
	stream.ChangeRequest(change)
	f.clock.Sends(&f.report.Times)
	if c.Open != nil {
		c.Open(1)
	}
	return f
}

// OnResponse is called with the headers of the response. details are Envoy's response code details. limit is how many
// bytes of a body are collected before OnBody is called.
func (f *Filter) OnResponse(headers iter.Seq2[string, []byte], details string, bodyless bool) (next Next, limit int) {
	defer f.handlePanic(&next)
	f.clock.Received(&f.report.Times)
	f.response = enrich.Response{
		Origin: envoyhttp.Origin(details), ContentLength: -1, Bodyless: bodyless, Method: f.method,
	}
	for name, value := range headers {
		envoyhttp.AddResponseHeader(&f.response, name, value)
	}
	f.report.Status = f.response.Status
	action, reason := f.rule.Verdict(f.response)
	switch {
	case action == enrich.Pass:
		return f.pass(reason, enrich.PassHeaders(reason)), 0
	case f.method == http.MethodHead:
		return f.pass(enrich.HeadRequest, enrich.HeadHeaders()), 0
	case action == enrich.Stream: // not streamed here: see docs
		return f.pass(enrich.CoreTooLarge, enrich.PassHeaders(enrich.CoreTooLarge)), 0
	case action == enrich.Degrade:
		f.degraded = reason
		if bodyless {
			return f.answer(nil), 0
		}
	}
	f.exactLength = f.response.ContentLength >= 0
	f.clock.Sends(&f.report.Times)
	return Collect, f.rule.CoreLimit
}

// OnBody is called when the body of the response is whole, or larger than the limit.
func (f *Filter) OnBody(whole bool) (next Next) {
	defer f.handlePanic(&next)
	f.clock.Received(&f.report.Times)
	switch {
	case f.degraded != "":
		f.immediately = !whole
		return f.answer(nil)
	case !whole:
		return f.pass(enrich.CoreTooLarge, enrich.PassHeaders(enrich.CoreTooLarge))
	}
	body := f.stream.Body()
	f.report.CoreSize = len(body)
	return f.answer(body)
}

// result is the outcome of a response.
type result struct {
	answer   enrich.Answer
	passed   enrich.Reason // the legacy response passes, for this reason; empty if there is an answer
	err      error
	panicked *enrich.PanicError

	waitBegan time.Time
	reads     []enrich.SourceRead
}

// answer answers with what the legacy service has sent, at once if nothing is to be waited for.
func (f *Filter) answer(body []byte) Next {
	core, isParsed := enrich.FailedCore(f.degraded), f.degraded != ""
	if !isParsed && len(body) <= maxOnWorker && f.response.ContentEncoding == "" {
		var fits bool
		if core, fits = f.parse(body); !fits {
			return f.apply(result{passed: enrich.CoreTooLarge})
		}
		if action, reason := f.rule.VerdictOnCore(f.response, core); action == enrich.Pass {
			return f.apply(result{passed: reason, err: core.Err})
		}
		isParsed = true
		f.read.Join(core)
	}
	if isParsed && f.read.Done() {
		return f.apply(f.compose(core))
	}
	f.result = make(chan result, 1)
	go f.finishAnswer(core, isParsed, body, f.result)
	return Wait
}

func (f *Filter) parse(body []byte) (enrich.Core, bool) {
	return f.rule.ParseCore(body, f.response.ContentEncoding)
}

// finishAnswer does in a goroutine what would hold up a worker.
func (f *Filter) finishAnswer(core enrich.Core, isParsed bool, body []byte, results chan<- result) {
	var r result
	defer func() {
		if err := enrich.AsPanic(recover()); err != nil {
			r = result{passed: enrich.Panicked, panicked: err}
		}
		results <- r
		f.stream.Schedule()
	}()
	if !isParsed {
		var fits bool
		if core, fits = f.parse(body); !fits {
			r.passed = enrich.CoreTooLarge
			return
		}
		if action, reason := f.rule.VerdictOnCore(f.response, core); action == enrich.Pass {
			r.passed, r.err = reason, core.Err
			return
		}
		f.read.Join(core)
	}
	r = f.compose(core)
}

// compose waits for the extensions and joins them with the core.
func (f *Filter) compose(core enrich.Core) result {
	r := result{waitBegan: f.clock.Now()}
	found := f.read.Await(core, f.budget)
	r.reads = found.Reads
	r.answer = f.rule.Compose(f.params, core, found, envoyhttp.MaxAnswer)
	if f.degraded == "" {
		r.answer = r.answer.WithConditional(f.ifNoneMatch)
	}
	return r
}

// OnScheduled is called after [Stream.Schedule].
func (f *Filter) OnScheduled() (next Next) {
	defer f.handlePanic(&next)
	return f.apply(<-f.result)
}

// apply changes the response, and ends the exchange.
func (f *Filter) apply(r result) Next {
	if r.panicked != nil {
		panic(r.panicked)
	}
	if len(r.reads) > 0 {
		f.clock.Waited(&f.report.Times, r.waitBegan, r.reads)
		f.report.Reads = r.reads
	}
	if r.passed != "" {
		return f.pass(r.passed, enrich.PassHeaders(r.passed), r.err)
	}
	a := r.answer
	f.clock.Sends(&f.report.Times)
	f.report.AnswerSize, f.report.Outcome = len(a.Body), a.Outcome
	f.stream.SetMetadata(&f.report)
	if f.immediately {
		headers := a.Headers().Set
		if f.config.ServerTiming {
			headers = append(headers, f.serverTiming())
		}
		f.stream.Respond(a.Status, headers, a.Body)
		f.finish(a.Outcome, a.Err)
		return Replaced
	}
	f.stream.ChangeResponse(envoyhttp.AnswerHeaders(a, f.exactLength))
	if f.config.ServerTiming {
		f.stream.AddResponseHeader(f.serverTiming())
	}
	f.stream.ReplaceBody(a.Body)
	f.finish(a.Outcome, a.Err)
	return Continue
}

func (f *Filter) serverTiming() enrich.Header {
	return enrich.Header{Name: "server-timing", Value: envoyhttp.ServerTiming(f.report.Times)}
}

// pass lets the response pass with a change of its headers, and ends the exchange.
func (f *Filter) pass(reason enrich.Reason, change enrich.Headers, errs ...error) Next {
	f.clock.Sends(&f.report.Times)
	f.report.Outcome = enrich.Outcome{Disposition: enrich.Passed, Reason: reason}
	f.stream.ChangeResponse(change)
	f.stream.SetMetadata(&f.report)
	f.finish(f.report.Outcome, errs...)
	return Continue
}

// errGone is the error of an exchange whose stream was destroyed before its end.
var errGone = errors.New("the stream has ended")

// OnDestroy is called when the stream is gone.
func (f *Filter) OnDestroy() {
	defer func() { f.recovered(recover()) }()
	if f.read != nil {
		f.read.Stop()
	}
	if f.config.Open != nil {
		f.config.Open(-1)
	}
	if !f.reported {
		f.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: enrich.StreamEnded}, errGone)
	}
}

// finish reports the exchange.
func (f *Filter) finish(outcome enrich.Outcome, errs ...error) {
	f.report.Outcome, f.report.Err = outcome, errors.Join(errs...)
	f.reported = true
	if f.config.Report != nil {
		f.config.Report(&f.report)
	}
}

// handlePanic, which must be deferred, lets the response pass if a callback has panicked.
func (f *Filter) handlePanic(next *Next) {
	if f.recovered(recover()) {
		*next = Continue
	}
}

// recovered reports whether a recovered value is of a panic, and ends the exchange if so.
func (f *Filter) recovered(value any) bool {
	err := enrich.AsPanic(value)
	if err == nil {
		return false
	}
	f.reportPanic(err)
	return true
}

// reportPanic ends an exchange that has panicked. A panic of the functions that it calls has nobody to be reported to.
func (f *Filter) reportPanic(err *enrich.PanicError) {
	defer func() { _ = recover() }()
	if f.read != nil {
		f.read.Stop()
	}
	if f.config.Panicked != nil {
		f.config.Panicked(f.report.Rule, err)
	}
	if !f.reported { // else it is the report that panicked
		f.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: enrich.Panicked}, err)
	}
}
