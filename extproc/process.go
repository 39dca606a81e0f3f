// Package extproc carries the conversation with Envoy's external processing filter
// (envoy.service.ext_proc.v3.ExternalProcessor). It turns protobuf messages into the plain values of package enrich,
// asks that package what to do, and turns the answer back. What is decided, and why, is none of its business.
package extproc

import (
	"context"
	"net/http"
	"sync"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"weft/enrich"
	"weft/internal/grpcloop"
)

// Method is the one of which [Server.Process] is the handler.
const Method = extprocv3.ExternalProcessor_Process_FullMethodName

// Server is the external processor. Its fields must not change while it serves.
type Server struct {
	Rules func() Ruleset // asked once for each exchange, so that rules can change
	Store enrich.Store

	// Budget is how long an answer may wait for MongoDB once the core is there, where Envoy does not say it (see
	// [BudgetHeader]). Zero is as long as Envoy has patience.
	Budget time.Duration

	// Now, if not nil, is the time source for what is reported and told of times.
	Now func() time.Time

	// ServerTiming has answers carry a server-timing header.
	ServerTiming bool

	// Report, if not nil, is told what became of each exchange, when it has ended. It is called by many goroutines, and must
	// not keep the report.
	Report func(*enrich.Report)

	// Misconfigured, if not nil, is told once of each thing in Envoy's configuration that keeps weft from its work, and of
	// the line to change.
	Misconfigured func(what string)

	check selfCheck
	large sync.Map // *enrich.Rule → true: those of which an answer was larger than Envoy's buffer
}

// Ruleset is the rules of a moment.
type Ruleset struct {
	Rules       enrich.Rules
	EnvoyConfig string // tells the configuration that Envoy needs for them from others; empty if it is not known
}

// Process is the conversation about one HTTP exchange. Each has a stream and a coroutine of its own, so that this
// function's position is its state:
//
//	Envoy                                weft
//	  request headers ───────────────────▶  self-check misconfigured ▶ end
//	                                        match      no rule ──▶ end
//	                                                   HEAD ─────▶ see processHead
//	                                        start to read the extension
//	  ◀──────────── continue, whole please
//	  (the legacy service and MongoDB work, side by side)
//	  response headers ──────────────────▶  verdict    pass ─────▶ mark, end
//	                                                   degrade ──▶ wait for the extension, see processDegraded
//	                                                   stream ───▶ see processStream
//	  ◀─────────────── continue, with body
//	  response body ─────────────────────▶  parse      too large ▶ mark, end
//	                                        wait for the extension
//	  ◀──────────────── continue, new body
//	                                        end
//
// Whenever weft ends the stream, Envoy goes on alone with what it has. So the answer to everything unexpected, from a
// message out of order to a client that has gone, is to return: the legacy response passes as it is. The exchange
// holds the first error; after it nothing is received (the values are zero, which no rule and no verdict takes up)
// and nothing is sent.
func (s *Server) Process(stream *grpcloop.Stream) error {
	x := &exchange{server: s, stream: stream, clock: clock{now: s.Now}}

	rules := s.Rules()
	request, ok := x.receiveRequestHeaders(rules.EnvoyConfig)
	if !ok {
		return x.end(enrich.Misconfigured)
	}
	rule, params, ok := rules.Rules.Match(request)
	if !ok || !x.hasCoreOf(rule, rules.Rules) {
		return x.end(enrich.NoRule)
	}
	x.report.Rule = rule.Name
	if request.Method == http.MethodHead {
		return processHead(x, rule)
	}
	read := enrich.Fetch(s.Store, rule, params)
	defer read.Stop()
	x.continueRequest(enrich.LegacyRequest(request.Method))

	response := x.receiveResponseHeaders()
	response.Method, response.Verified = request.Method, x.verified(rule.Identity, params)
	action, reason := rule.Verdict(response)
	switch action {
	case enrich.Pass:
		return x.passResponse(reason, enrich.PassHeaders(reason))
	case enrich.Degrade:
		core := enrich.FailedCore(reason)
		return processDegraded(x, rule, response, rule.Compose(params, core, x.await(read, core), maxAnswer))
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
	return x.replaceBody(x.compose(rule, params, core, x.await(read, core)).Unless(request.IfNoneMatch))
}

// processHead is the conversation about a HEAD. There is no body, so there is nothing to read; but what the legacy
// service says of the body of a GET is not true of a composite.
//
//	◀──────────── continue, whole please
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

// await returns the extensions of a core, for which it waits no longer than Envoy has patience (see [budget]). It is called when
// the core is there, so what it waits is what weft adds to the client's time.
func (x *exchange) await(read *enrich.Read, core enrich.Core) enrich.Found {
	found := x.clock.waits(&x.report.Times, func() enrich.Found {
		if !read.IsDone() {
			x.stream.Await(x.budget(), read.Notify)
			x.stepAside()
		}
		return read.Found(core, context.DeadlineExceeded)
	})
	x.report.Reads = found.Reads
	return found
}

// processDegraded puts the answer in the place of a response that has no core in it. Envoy would replace it at once, but
// would end the answer only with the legacy body, and an error page that never ends would leave the client with one that
// breaks off. So the body is read, if there is one, and the answer takes its place. Where Envoy would have to buffer it, an
// answer that it cannot hold would be a 503.
//
//	◀─────────────── continue, with body      or, if no body is to come, replace (answer at once), end
//	response body ─────────────────────▶      too large ▶ answer at once, end
//	◀──────────────── continue, new body
//	                                      end
func processDegraded(x *exchange, rule *enrich.Rule, response enrich.Response, answer enrich.Answer) error {
	fits := len(answer.Body) <= rule.CoreLimit+BufferSlack
	length := response.ContentLength
	switch bodyless := response.Bodyless || response.Origin != enrich.OriginLegacy; {
	case bodyless && fits:
		return x.replaceResponse(answer)
	case bodyless:
		return x.replaceImmediately(answer)
	case !fits:
		length = -1
	}
	x.continueWithBody(length, rule)
	if _, whole := x.receiveResponseBody(); !whole {
		return x.replaceImmediately(answer)
	}
	return x.replaceBody(answer)
}

// processStream is the rest of the conversation about a core that is too large to hold. Chunks are answered as they
// come, so Envoy's flow control holds the legacy service back when the client is slow.
//
//	◀──────────── continue, new head, with body
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
