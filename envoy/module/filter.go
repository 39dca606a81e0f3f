// Package module runs weft in Envoy's process, as the callbacks of an HTTP filter for Envoy's dynamic modules. Package
// enrich makes the decisions, as for package extproc. Unlike extproc, callbacks must not block. The library that Envoy
// loads is in envoy/module/libweft.
package module

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// Config is shared by all streams of a filter. Its fields must not change while it is used.
type Config struct {
	// Rules returns the current rules, and how long a response may wait for MongoDB once the core has arrived; 0 means
	// no limit.
	Rules func() (enrich.Rules, time.Duration)
	Store enrich.Store
	Cores *enrich.Cores // kept cores; nil keeps none

	// ServerTiming adds a server-timing header to answers.
	ServerTiming bool

	// Report, if not nil, is called with the report of each exchange at its end. Several workers call it concurrently. It
	// must not keep the report.
	Report func(*enrich.Report)

	// Open, if not nil, is called with 1 when an exchange with a rule begins, and with -1 when its stream is destroyed.
	Open func(exchanges int)

	// Panicked, if not nil, is called with each recovered panic, and the rule of its exchange.
	Panicked func(rule string, err *enrich.PanicError)

	// Now returns the time; nil means time.Now.
	Now func() time.Time
}

// Stream is a stream of Envoy. Its methods are for callbacks, except Schedule.
type Stream interface {
	ChangeRequest(enrich.Headers)
	ChangeResponse(enrich.Headers)

	// AddResponseHeader appends a header; headers with the same name stay.
	AddResponseHeader(enrich.Header)

	// AppendBody appends the part of the response body that has arrived to b.
	AppendBody(b []byte) []byte

	// ReplaceBody replaces the body of the response.
	ReplaceBody(body []byte)

	// Respond replaces the complete response, including its headers. During OnRequest, the legacy service gets no request.
	Respond(status int, headers []enrich.Header, body []byte)

	// Claims returns the filter state [envoyhttp.ClaimsState]; nil if it is not set.
	Claims() []byte

	// SetMetadata sets the dynamic metadata for Envoy's access log.
	SetMetadata(*enrich.Report)

	// Schedule makes Envoy call OnScheduled, unless the stream has been destroyed. Any goroutine may call it.
	Schedule()
}

// Next is Envoy's action after a callback.
type Next int

// The library's C code uses the same values.
const (
	Continue Next = iota // continue; the only callback that follows is OnDestroy
	Collect              // hold the response until its body is complete or exceeds a limit, then call OnBody
	Wait                 // hold what has arrived until OnScheduled; after Forward, until OnBody
	Replaced             // Respond has replaced the response
	Forward              // continue, and call OnBody for each part of the body
)

// Filter is the state of one exchange:
//
//	Envoy                                weft
//	  OnRequest ─────────────────────────▶  match      no rule ──▶ nil: no callback follows
//	                                        select     unknown ──▶ Respond, nil
//	                                        start to read the extensions (not for HEAD)
//	                                        recall     cache ────▶ see recall
//	  ◀──────────── continue, unconditional
//	  (the legacy service and MongoDB respond concurrently)
//	  OnResponse ────────────────────────▶  verdict    pass ─────▶ mark, Continue
//	                                                   degrade ──▶ as below, without a core
//	                                                   stream ───▶ see streamedCore
//	  ◀───────────── Collect
//	  OnBody ────────────────────────────▶  parse      too large ▶ mark, Continue
//	                                        extensions have arrived ▶ replace the body, Continue
//	  ◀───────────── Wait
//	  (the extensions arrive)
//	  OnScheduled ───────────────────────▶  compose, replace the body, Continue
//	  OnDestroy, at any time ────────────▶  stop the reads
//
// One worker of Envoy calls the callbacks of a stream, one after the other. They return without blocking. A goroutine
// parses a large body, and waits for what may block. It accesses no field that a callback changes, and sends its result
// to a channel. Most exchanges have no goroutine: their reads schedule OnScheduled. If a callback or the goroutine
// panics, the legacy response passes.
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
	verified    bool               // see enrich.Response
	read        *enrich.Read       // nil for HEAD, and without a rule
	kept        *enrich.Kept       // nil if the rule keeps no cores
	recalling   chan result        // the result with kept, until OnScheduled; nil without one
	change      enrich.Headers     // of the request
	cancel      context.CancelFunc // ends the wait for kept; nil without one

	response    enrich.Response
	degraded    enrich.Reason // reason why the core failed; empty if it has not
	exactLength bool          // the length of the response is known
	immediately bool          // the legacy body is incomplete: replace the complete response
	streamed    *streamedCore // nil if the response is not streamed
	core        *enrich.Core  // waits for extensions; nil if no core does, or a goroutine waits
	waitBegan   time.Time     // of core
	result      chan result   // of the goroutine; nil without one
	reported    bool
}

// maxOnWorker is the maximum size of a body that a callback parses, in bytes: larger ones would delay other streams of
// the worker.
const maxOnWorker = 64 << 10

// OnRequest begins an exchange. Names of headers must be in lower case. Names and values must be valid during the call.
// routed is the name of the rule of the route; empty if unknown. bodyless means that the request ends with its headers.
// OnRequest returns nil if the exchange is over: no rule matches, or Respond has rejected the request.
func (c *Config) OnRequest(
	stream Stream, headers iter.Seq2[string, []byte], routed string, bodyless bool,
) (f *Filter) {
	f = &Filter{config: c, stream: stream, clock: envoyhttp.Clock{Now: c.Now}}
	if c.Now == nil {
		f.clock.Now = time.Now
	}
	defer func() {
		switch {
		case f.recovered(recover()):
			f.forget()
			f = nil
		case f != nil && c.Open != nil:
			c.Open(1)
		}
	}()
	f.clock.Received(&f.report.Times)
	var known envoyhttp.RequestHeaders
	var forged []string // headers that only weft may set
	var traceParent string
	for name, value := range headers {
		known.Add(name, value)
		switch {
		case name == "x-request-id":
			f.report.RequestID = string(value)
		case name == "traceparent":
			traceParent = string(value)
		case strings.HasPrefix(name, enrich.OutcomeHeader):
			forged = append(forged, strings.Clone(name)) // Envoy owns the name
		}
	}
	request := known.Request()
	rules, budget := c.Rules()
	rule, params, ok := rules.Match(request)
	f.kept = c.Cores.Unsafe(context.Background(), rules, request)
	if !ok || !envoyhttp.HasCoreOf(rules, routed, rule) {
		if f.kept != nil {
			return f
		}
		f.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: enrich.NoRule})
		return nil
	}
	f.report.Rule, f.report.Trace = rule.Name, envoyhttp.Trace(traceParent)
	rule, legacyTarget, unknown := rule.Narrow(request.Path)
	if len(unknown) > 0 {
		f.respond(rule.RejectSelection(unknown))
		return nil
	}
	f.rule, f.params, f.budget = rule, params, budget
	f.method, f.ifNoneMatch = request.Method, request.IfNoneMatch
	if request.Method != http.MethodHead {
		f.read = enrich.Fetch(context.Background(), c.Store, rule, params)
	}
	keeps := rule.Keeps() && c.Cores != nil && request.Method == http.MethodGet
	var claims map[string]map[string]any
	if keeps || rule.Degrade == enrich.DegradeAuthenticated {
		_ = json.Unmarshal(stream.Claims(), &claims) // ignore the error: then nothing is verified
		f.verified = envoyhttp.IsVerified(claims[rule.Identity.Payload][rule.Identity.Name], params)
	}
	f.change = enrich.LegacyRequest(request.Method, legacyTarget)
	f.change.Remove = slices.Concat(f.change.Remove, forged)
	if keeps {
		request.Header, request.HasCredentials = copyHeaders(headers, rule.Keep.Credentials)
		request.HasCredentials = request.HasCredentials || claims[envoyhttp.AnyClaims] != nil
		request.IsVerified, request.HasBody = f.verified, !bodyless
		f.recall(request, legacyTarget)
	}
	if !f.HoldsRequest() {
		f.forwardRequest()
	}
	return f
}

// forwardRequest continues the request to the legacy service.
func (f *Filter) forwardRequest() {
	f.stream.ChangeRequest(f.change.With(f.kept.Conditions()))
	f.clock.Sends(&f.report.Times)
}

// OnResponse is called with the headers of the response. details are Envoy's response code details. limit is the number
// of bytes of a body that are collected before OnBody is called.
func (f *Filter) OnResponse(headers iter.Seq2[string, []byte], details string, bodyless bool) (next Next, limit int) {
	defer f.handlePanic(&next)
	if f.reported { // it has panicked while the request was held
		return Continue, 0
	}
	f.clock.Received(&f.report.Times)
	f.response = enrich.Response{
		Origin: envoyhttp.Origin(details), ContentLength: -1, Bodyless: bodyless, Method: f.method,
		Verified: f.verified,
	}
	for name, value := range headers {
		envoyhttp.AddResponseHeader(&f.response, name, value)
	}
	f.report.Status = f.response.Status
	if f.kept != nil {
		f.response.Header, _ = copyHeaders(headers, nil)
		core, isValid := f.kept.Respond(f.response)
		switch {
		case f.rule == nil:
			return f.passAfterChange(""), 0
		case isValid:
			return f.wait(func() result { f.read.Join(core); return f.compose(core) }), 0
		}
	}
	action, reason := f.rule.Verdict(f.response)
	switch {
	case action == enrich.Pass && f.kept != nil:
		return f.passAfterChange(reason), 0
	case action == enrich.Pass:
		return f.pass(reason, enrich.PassHeaders(reason)), 0
	case f.method == http.MethodHead:
		return f.pass(enrich.HeadRequest, f.rule.HeadHeaders()), 0
	case action == enrich.Stream:
		return f.streamResponse(), 0
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

// OnBody is called after Collect, when the body of the response is complete or larger than the limit; and after Forward
// for each part of the body, of which isComplete is the last.
func (f *Filter) OnBody(isComplete bool) (next Next) {
	defer f.handlePanic(&next)
	f.clock.Received(&f.report.Times)
	switch {
	case f.streamed != nil:
		return f.forward(isComplete)
	case f.degraded != "":
		f.immediately = !isComplete
		return f.answer(nil)
	case !isComplete:
		f.kept.Drop()
		return f.pass(enrich.CoreTooLarge, enrich.PassHeaders(enrich.CoreTooLarge))
	}
	body := f.stream.AppendBody(nil)
	f.report.CoreSize = len(body)
	return f.answer(body)
}

// OnScheduled is called after [Stream.Schedule].
func (f *Filter) OnScheduled() (next Next) {
	defer func() {
		switch {
		case !f.recovered(recover()):
		case f.response.Status == http.StatusNotModified && f.kept.Validates(): // not a response for the client
			f.stream.Respond(http.StatusServiceUnavailable, nil, f.rule.Unavailable())
			next = Replaced
		default:
			next = Continue
		}
	}()
	if f.core != nil && f.read.Done() {
		return f.composed()
	}
	r, ok := f.takeResult()
	if !ok {
		return Wait
	}
	return f.apply(r)
}

// errDestroyed is the error of an exchange whose stream was destroyed before the exchange ended.
var errDestroyed = errors.New("the stream has ended")

// OnDestroy is called when Envoy destroys the stream.
func (f *Filter) OnDestroy() {
	defer func() { f.recovered(recover()) }()
	if f.read != nil {
		f.read.Stop()
	}
	f.forget()
	if f.streamed != nil {
		f.streamed.parts.close()
	}
	if f.config.Open != nil {
		f.config.Open(-1)
	}
	if !f.reported {
		f.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: enrich.StreamEnded}, errDestroyed)
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
