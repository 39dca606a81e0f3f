// Package extproc implements Envoy's external processing service (envoy.service.ext_proc.v3.ExternalProcessor): it
// converts messages to the values of package enrich, and decisions of that package to replies.
package extproc

import (
	"net/http"
	"slices"
	"time"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// Server is the external processor. Its fields must not change while it serves.
type Server struct {
	Rules func() *Ruleset // called once for each exchange, so that rules can change
	Store enrich.Store
	Cores *enrich.Cores // kept cores; nil keeps none

	// ServerTiming adds a server-timing header to responses of weft.
	ServerTiming bool

	// Report, if not nil, is called with the report of each exchange that has ended. It must be safe for concurrent use,
	// and must not retain the report.
	Report func(*enrich.Report)

	// Misconfigured, if not nil, is called for each error in Envoy's configuration that prevents composition, with a
	// message that says which line to change. It is called once per error for each Ruleset.
	Misconfigured func(fault string)

	// Panicked, if not nil, is called with each panic that was recovered, and the rule of its exchange.
	Panicked func(rule string, err *enrich.PanicError)

	// Open, if not nil, is called with 1 when an exchange begins, and with -1 when it has ended.
	Open func(exchanges int)

	// Now returns the time; nil means time.Now.
	Now func() time.Time
}

// Process handles the stream of one HTTP exchange. It runs in its own goroutine, so the position in this function is
// its state:
//
//	Envoy                                weft
//	  request headers ───────────────────▶  self-check misconfigured ▶ end
//	                                        match      no rule ──▶ end
//	                                        select     unknown ──▶ respond immediately, end
//	                                                   HEAD ─────▶ see processHead
//	                                        start to read the extensions
//	                                        recall     fresh ────▶ wait for them, respond immediately, end
//	  ◀───────────── continue, unconditional
//	  (the legacy service and MongoDB respond concurrently)
//	  response headers ──────────────────▶  recall     confirmed ▶ wait for the extensions, replace, end
//	                                        verdict    pass ─────▶ mark, end
//	                                                   degrade ──▶ wait for the extensions, see processDegraded
//	                                                   stream ───▶ see processStream
//	  ◀─────────────── continue, with body
//	  response body ─────────────────────▶  parse      too large ▶ mark, end
//	                                        wait for the extensions
//	  ◀──────────────── continue, new body
//	                                        end
//
// When weft ends the stream, Envoy continues with what it has. Therefore Process returns after any unexpected event,
// such as a message out of order, a client that has disconnected or a panic: the legacy response passes unchanged. The
// exchange keeps the first error; after it nothing is received (the values are zero, which match no rule and pass) and
// nothing is sent.
//
// The result is always nil, which is gRPC's OK: Envoy would count an error as a failure of weft, and would fail the
// exchange if the filter is configured to fail closed.
func (s *Server) Process(stream Stream) error {
	if s.Open != nil {
		s.Open(1)
		defer s.Open(-1)
	}
	x := s.newExchange(stream)
	defer x.recoverPanic()

	request, ok := x.receiveRequestHeaders()
	if !ok {
		return x.end(enrich.Misconfigured)
	}
	rule, params, ok := x.ruleset.rules.Match(request)
	if !ok || !envoyhttp.HasCoreOf(x.ruleset.rules, metadataValue(stream.Context(), RuleHeader), rule) {
		return processOther(x, request)
	}
	x.report.Rule = rule.Name
	rule, legacyTarget, unknown := rule.Narrow(request.Path)
	if len(unknown) > 0 {
		return x.respondImmediately(rule.RejectSelection(unknown))
	}
	if request.Method == http.MethodHead {
		return processHead(x, rule, legacyTarget)
	}
	read := enrich.Fetch(stream.Context(), s.Store, rule, params)
	defer read.Stop()
	request.IsVerified = envoyhttp.IsVerified(claimOf(x.metadata, rule.Identity), params)
	kept := x.recall(rule, params, request, legacyTarget)
	defer kept.Close()
	if core, isFresh := kept.Fresh(); isFresh {
		read.Join(core)
		answer := x.compose(rule, params, core, x.await(read, core)).WithConditional(request.IfNoneMatch)
		return x.respondImmediately(answer)
	}
	x.continueRequest(enrich.LegacyRequest(request.Method, legacyTarget).With(kept.Conditions()))

	response := x.receiveResponseHeaders()
	response.Method, response.Verified = request.Method, request.IsVerified
	if core, isValid := kept.Respond(response); isValid {
		read.Join(core)
		answer := x.compose(rule, params, core, x.await(read, core)).WithConditional(request.IfNoneMatch)
		return x.continueAndReplace(answer)
	}
	action, reason := rule.Verdict(response)
	switch action {
	case enrich.Pass:
		return x.passResponse(reason, enrich.PassHeaders(reason))
	case enrich.Degrade:
		core := kept.StandIn(reason)
		read.Join(core)
		return processDegraded(x, rule, response, rule.Compose(params, core, x.await(read, core), envoyhttp.MaxAnswer))
	case enrich.Stream:
		return processStream(x, rule, params, x.await(read, enrich.Core{}))
	}
	x.continueWithBody(response.ContentLength, rule)

	body, isComplete := x.receiveResponseBody()
	if !isComplete {
		if x.err == nil {
			kept.Drop()
		}
		return x.passBody(enrich.CoreTooLarge, nil)
	}
	core, ok := rule.ParseCore(body, response.ContentEncoding)
	if !ok {
		kept.Drop()
		return x.passBody(enrich.CoreTooLarge, nil)
	}
	kept.Save(response, body, core)
	if action, reason := rule.VerdictOnCore(response, core); action == enrich.Pass {
		return x.passBody(reason, core.Err)
	}
	read.Join(core)
	return x.replaceBody(x.compose(rule, params, core, x.await(read, core)).WithConditional(request.IfNoneMatch))
}

// processOther handles a request without a rule, which passes. If it may change a resource of which cores are kept,
// they are dropped before the client gets the response.
//
//	◀───────────── continue, unconditional
//	response headers ──────────────────▶  success ▶ drop the cores
//	                                      end
func processOther(x *exchange, request enrich.Request) error {
	kept := x.server.Cores.Unsafe(x.stream.Context(), x.ruleset.rules, request)
	defer kept.Close()
	if kept != nil {
		x.continueRequest(enrich.Headers{})
		kept.Respond(x.receiveResponseHeaders())
		kept.Wait()
	}
	return x.end(enrich.NoRule)
}

// processHead handles a HEAD. Its response has no body, so nothing is read. Headers with which the legacy service
// describes the body of a GET are removed, because they do not describe the composite.
//
//	◀───────────── continue, unconditional
//	response headers ──────────────────▶  verdict    pass ─────▶ mark, end
//	◀───────── continue, headers removed
//	                                      end
func processHead(x *exchange, rule *enrich.Rule, legacyTarget string) error {
	x.continueRequest(enrich.LegacyRequest(http.MethodHead, legacyTarget))
	response := x.receiveResponseHeaders()
	response.Method = http.MethodHead
	action, reason := rule.Verdict(response)
	if action == enrich.Pass {
		return x.passResponse(reason, enrich.PassHeaders(reason))
	}
	return x.passResponse(enrich.HeadRequest, rule.HeadHeaders())
}

// processDegraded replaces a response without a core. Envoy would send a replacement immediately, but would end it only
// when the legacy body ends: an error page that never ends would leave the client with a truncated response. Therefore
// weft requests the body, if there is one, and replaces it. If Envoy had to buffer a replacement that does not fit in
// its buffer, the client would get a 503.
//
//	◀─────────────── continue, with body      without a body: replace (or respond immediately), end
//	response body ─────────────────────▶      too large ▶ respond immediately, end
//	◀──────────────── continue, new body
//	                                      end
func processDegraded(x *exchange, rule *enrich.Rule, response enrich.Response, answer enrich.Answer) error {
	fits := len(answer.Body) <= rule.CoreLimit+envoyhttp.BufferSlack
	length := response.ContentLength
	switch bodyless := response.Bodyless || response.Origin != enrich.OriginLegacy; {
	case bodyless && fits:
		return x.continueAndReplace(answer)
	case bodyless:
		return x.respondImmediately(answer)
	case !fits:
		length = -1
	}
	x.continueWithBody(length, rule)
	if _, isComplete := x.receiveResponseBody(); !isComplete {
		return x.respondImmediately(answer)
	}
	return x.replaceBody(answer)
}

// processStream handles the body of a core that is too large to buffer. It replies to chunks as they arrive, so Envoy's
// flow control slows down the legacy service if the client is slow.
//
//	◀──────── continue, new headers, with body
//	body chunk ────────────────────────▶  check
//	◀──────────────── continue, with prefix
//	body chunk ────────────────────────▶  check      invalid ──▶ end, and the rest of the body passes
//	◀──────────────────────────── continue
//	last body chunk ───────────────────▶  check
//	◀──────────────── continue, with suffix
//	                                      end
func processStream(x *exchange, rule *enrich.Rule, params []enrich.Value, found enrich.Found) error {
	x.continueStreamed(rule.StreamHeaders(found))
	body := &streamedBody{exchange: x, rule: rule}
	core := rule.CheckCore(body)
	if core.Failed != "" {
		return x.finish(enrich.Outcome{Disposition: enrich.Streamed, Reason: core.Failed}, core.Err)
	}
	suffix, outcome, err := rule.StreamSuffix(params, core, found)
	return x.sendLast(&reply{to: responseBody, newBody: true, body: slices.Concat(body.chunk, suffix)}, outcome, err)
}
