package module

import (
	"time"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// result is the outcome of a response.
type result struct {
	answer   enrich.Answer
	passed   enrich.Reason // reason why the legacy response passes; empty if there is an answer
	err      error
	panicked *enrich.PanicError

	waitBegan time.Time
	reads     []enrich.SourceRead

	kept      *enrich.Kept // recalled; nil for others
	isFresh   bool         // answer replaces the request
	unchanged bool         // the response passes without x-weft, because no rule matches

	found *enrich.Found // for a streamed core; nil for others
	core  enrich.Core   // checked, of a streamed response; or with Kept only
}

// answer replaces the response: immediately if the reads have ended, otherwise after a goroutine has waited for them.
func (f *Filter) answer(body []byte) Next {
	core, isParsed := enrich.FailedCore(f.degraded), f.degraded != ""
	if f.kept != nil { // its store may block
		return f.wait(func() result { return f.composeKept(body) })
	}
	if !isParsed && len(body) <= maxOnWorker && f.response.ContentEncoding == "" {
		var passed result
		if core, passed, isParsed = f.parse(body); !isParsed {
			return f.apply(passed)
		}
	}
	if isParsed {
		f.core, f.waitBegan = &core, f.clock.Now()
		if f.read.Done() {
			return f.composed()
		}
		f.read.Notify(f.budget, f.stream.Schedule)
		return Wait
	}
	return f.wait(func() result {
		core, passed, ok := f.parse(body)
		if !ok {
			return passed
		}
		return f.compose(core)
	})
}

// composed composes the waiting core with the extensions, which have arrived.
func (f *Filter) composed() Next {
	r := f.compose(*f.core)
	f.core, r.waitBegan = nil, f.waitBegan
	return f.apply(r)
}

// wait runs work in a goroutine, where it does not delay a worker, and schedules its result.
func (f *Filter) wait(work func() result) Next {
	results := make(chan result, 1)
	f.result = results
	go func() {
		var r result
		defer func() {
			if err := enrich.AsPanic(recover()); err != nil {
				r = result{passed: enrich.Panicked, panicked: err}
			}
			results <- r
			f.stream.Schedule()
		}()
		r = work()
	}()
	return Wait
}

// takeResult returns the result of the goroutine, once. It is not ok while the goroutine runs.
func (f *Filter) takeResult() (r result, ok bool) {
	select {
	case r = <-f.result:
		if f.result == f.recalling {
			f.kept, f.recalling = r.kept, nil
		}
		f.result = nil
		return r, true
	default:
		return r, false
	}
}

// parse returns the core in a body, and starts the reads that need it. If ok is false, the response passes.
func (f *Filter) parse(body []byte) (core enrich.Core, passed result, ok bool) {
	core, fits := f.rule.ParseCore(body, f.response.ContentEncoding)
	if !fits {
		f.kept.Drop()
		return core, result{passed: enrich.CoreTooLarge}, false
	}
	f.kept.Save(f.response, body, core)
	if action, reason := f.rule.VerdictOnCore(f.response, core); action == enrich.Pass {
		return core, result{passed: reason, err: core.Err}, false
	}
	f.read.Join(core)
	return core, result{}, true
}

// compose waits for the extensions and composes them with the core.
func (f *Filter) compose(core enrich.Core) result {
	r := result{waitBegan: f.clock.Now()}
	found := f.read.Await(core, f.budget)
	r.reads = found.Reads
	f.kept.Wait()
	r.core.Kept = core.Kept
	r.answer = f.rule.Compose(f.params, core, found, envoyhttp.MaxAnswer)
	if f.degraded == "" {
		r.answer = r.answer.WithConditional(f.ifNoneMatch)
	}
	return r
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
	if r.core.Kept != nil {
		f.report.Core, f.report.CoreAge = r.core.Kept.Use, r.core.Kept.Age
	}
	switch {
	case r.found != nil:
		return f.startStream(*r.found)
	case r.kept != nil && !r.isFresh:
		f.forwardRequest()
		return Continue
	case r.isFresh:
		return f.respond(r.answer)
	case r.unchanged:
		f.clock.Sends(&f.report.Times)
		f.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: enrich.NoRule})
		return Continue
	}
	if r.passed != "" {
		return f.pass(r.passed, enrich.PassHeaders(r.passed), r.err)
	}
	a := r.answer
	if f.immediately {
		return f.respond(a)
	}
	f.sends(a)
	f.stream.ChangeResponse(envoyhttp.AnswerHeaders(a, f.exactLength))
	if f.config.ServerTiming {
		f.stream.AddResponseHeader(f.serverTiming())
	}
	f.stream.ReplaceBody(a.Body)
	f.finish(a.Outcome, a.Err)
	return Continue
}

// respond replaces the complete response, and ends the exchange.
func (f *Filter) respond(a enrich.Answer) Next {
	f.sends(a)
	headers := a.Headers().Set
	if f.config.ServerTiming {
		headers = append(headers, f.serverTiming())
	}
	f.stream.Respond(a.Status, headers, a.Body)
	f.finish(a.Outcome, a.Err)
	return Replaced
}

// sends records an answer before it is sent.
func (f *Filter) sends(a enrich.Answer) {
	f.clock.Sends(&f.report.Times)
	f.report.AnswerSize, f.report.Outcome = len(a.Body), a.Outcome
	f.stream.SetMetadata(&f.report)
}

func (f *Filter) serverTiming() enrich.Header {
	return enrich.Header{Name: "server-timing", Value: envoyhttp.ServerTiming(&f.report)}
}

// pass passes the response with a change of its headers, and ends the exchange.
func (f *Filter) pass(reason enrich.Reason, change enrich.Headers, errs ...error) Next {
	f.clock.Sends(&f.report.Times)
	f.report.Outcome = enrich.Outcome{Disposition: enrich.Passed, Reason: reason}
	f.stream.ChangeResponse(change)
	f.stream.SetMetadata(&f.report)
	f.finish(f.report.Outcome, errs...)
	return Continue
}
