// Package extproc speaks the protocol of Envoy's external processing filter
// (envoy.service.ext_proc.v3.ExternalProcessor): it turns its messages into the plain values of package enrich, and
// what that package decides into replies.
package extproc

import (
	"net/http"
	"time"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// Server is the external processor. Its fields must not change while it serves.
type Server struct {
	Rules func() *Ruleset // called once for each exchange, so that rules can change
	Store enrich.Store

	// ServerTiming adds a server-timing header to answers.
	ServerTiming bool

	// Report, if not nil, is called with the report of each exchange that has ended. It is called by many goroutines at
	// the same time, and must not keep the report.
	Report func(*enrich.Report)

	// Misconfigured, if not nil, is called with each fault in Envoy's configuration that keeps weft from its work: what is
	// wrong, and which line to change. It is called once for a fault while the same rules are in force.
	Misconfigured func(fault string)

	// Panicked, if not nil, is called with each panic that was recovered, and the rule of its exchange.
	Panicked func(rule string, err *enrich.PanicError)

	// Now returns the time; nil means time.Now.
	Now func() time.Time
}

// Process is the conversation about one HTTP exchange. It has a goroutine of its own, so that the position in this
// function is its state:
//
//	Envoy                                weft
//	  request headers ───────────────────▶  self-check misconfigured ▶ end
//	                                        match      no rule ──▶ end
//	                                                   HEAD ─────▶ see processHead
//	                                        start to read the extension
//	  ◀───────────── continue, unconditional
//	  (the legacy service and MongoDB work concurrently)
//	  response headers ──────────────────▶  verdict    pass ─────▶ mark, end
//	                                                   degrade ──▶ wait for the extension, see processDegraded
//	                                                   stream ───▶ see processStream
//	  ◀─────────────── continue, with body
//	  response body ─────────────────────▶  parse      too large ▶ mark, end
//	                                        wait for the extension
//	  ◀──────────────── continue, new body
//	                                        end
//
// When weft ends the stream, Envoy continues with what it has. So the reaction to everything unexpected, from a message
// out of order to a client that is gone or a panic, is to return: the legacy response passes as it is. The exchange
// holds the first error; after it nothing is received (the values are zero, which match no rule and pass) and nothing
// is sent.
//
// The result is always nil, which is gRPC's OK: an error would count against weft in Envoy, and would fail the exchange
// where the filter is configured to fail closed.
func (s *Server) Process(stream Stream) error {
	x := s.newExchange(stream)
	defer x.recoverPanic()

	request, ok := x.receiveRequestHeaders()
	if !ok {
		return x.end(enrich.Misconfigured)
	}
	rule, params, ok := x.ruleset.rules.Match(request)
	if !ok || !x.hasCoreOf(rule) {
		return x.end(enrich.NoRule)
	}
	x.report.Rule = rule.Name
	if request.Method == http.MethodHead {
		return processHead(x, rule)
	}
	read := enrich.Fetch(stream.Context(), s.Store, rule, params)
	defer read.Stop()
	x.continueRequest(enrich.LegacyRequest(request.Method))

	response := x.receiveResponseHeaders()
	response.Method, response.Verified = request.Method, isVerified(x.metadata, rule.Identity, params)
	action, reason := rule.Verdict(response)
	switch action {
	case enrich.Pass:
		return x.passResponse(reason, enrich.PassHeaders(reason))
	case enrich.Degrade:
		core := enrich.FailedCore(reason)
		return processDegraded(x, rule, response, rule.Compose(params, core, x.await(read, core), envoyhttp.MaxAnswer))
	case enrich.Stream:
		return processStream(x, rule, params, x.await(read, enrich.Core{}))
	}
	x.continueWithBody(response.ContentLength, rule)

	body, whole := x.receiveResponseBody()
	if !whole {
		return x.passBody(enrich.CoreTooLarge, nil)
	}
	core, ok := rule.ParseCore(body, response.ContentEncoding)
	if !ok {
		return x.passBody(enrich.CoreTooLarge, nil)
	}
	if action, reason := rule.VerdictOnCore(response, core); action == enrich.Pass {
		return x.passBody(reason, core.Err)
	}
	read.Join(core)
	return x.replaceBody(x.compose(rule, params, core, x.await(read, core)).WithConditional(request.IfNoneMatch))
}

// processHead is the exchange of a HEAD. There is no body, so nothing is read; but the headers with which the legacy
// service describes the body of a GET are not true of a composite.
//
//	◀───────────── continue, unconditional
//	response headers ──────────────────▶  verdict    pass ─────▶ mark, end
//	◀──────────── continue, without them
//	                                      end
func processHead(x *exchange, rule *enrich.Rule) error {
	x.continueRequest(enrich.LegacyRequest(http.MethodHead))
	response := x.receiveResponseHeaders()
	response.Method = http.MethodHead
	action, reason := rule.Verdict(response)
	if action == enrich.Pass {
		return x.passResponse(reason, enrich.PassHeaders(reason))
	}
	return x.passResponse(enrich.HeadRequest, enrich.HeadHeaders())
}

// processDegraded replaces a response that has no core. Envoy would replace it at once, but would end the answer only
// when the legacy body ends, so that an error page that never ends would leave the client with a truncated answer. So
// the body, if there is one, is received, and the answer replaces it. Where Envoy would have to buffer an answer that
// it cannot hold, the client would get a 503.
//
//	◀─────────────── continue, with body      or, if no body is to come, replace (answer immediately), end
//	response body ─────────────────────▶      too large ▶ answer immediately, end
//	◀──────────────── continue, new body
//	                                      end
func processDegraded(x *exchange, rule *enrich.Rule, response enrich.Response, answer enrich.Answer) error {
	fits := len(answer.Body) <= rule.CoreLimit+BufferSlack
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
	if _, whole := x.receiveResponseBody(); !whole {
		return x.respondImmediately(answer)
	}
	return x.replaceBody(answer)
}

// processStream is the rest of the exchange of a core that is too large to hold. Chunks are answered as they
// arrive, so Envoy's flow control slows the legacy service down if the client is slow.
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
	body.end(suffix, outcome)
	return x.finish(outcome, err)
}
