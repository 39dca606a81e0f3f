package extproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// exchange is the state of one stream. Its methods do nothing once err is set.
type exchange struct {
	server  *Server
	ruleset *Ruleset
	stream  Stream
	report  enrich.Report
	clock   envoyhttp.Clock

	request  *extprocv3.ProcessingRequest // with the request headers
	metadata *corev3.Metadata             // of the request
	forged   []string                     // names of request headers that only weft may set
	err      error                        // the first error of Receive or Send
	kept     *enrich.Kept                 // nil if no cores are kept for the request
	buffered bool                         // the length of the response is known, and its body arrives in one message
	streamed bool                         // the response headers were sent
	reported bool
}

func (s *Server) newExchange(stream Stream) *exchange {
	now := s.Now
	if now == nil {
		now = time.Now
	}
	return &exchange{server: s, stream: stream, clock: envoyhttp.Clock{Now: now}}
}

// receive returns the next message. It reports whether the message is of the expected kind; if not, x.err is set.
func (x *exchange) receive(want string) (m *extprocv3.ProcessingRequest, ok bool) {
	if x.err != nil {
		return nil, false
	}
	m, x.err = x.stream.Receive()
	x.clock.Received(&x.report.Times)
	if got := kindOf(m); x.err == nil && got != want {
		x.err = fmt.Errorf("received %s, expected %s", got, want)
	}
	return m, x.err == nil
}

func (x *exchange) send(r *reply) {
	if x.err == nil {
		x.clock.Sends(&x.report.Times)
		x.report.AnswerSize += len(r.body)
		x.err = x.stream.Send(r.message())
	}
}

// sendLast sends the reply that ends the exchange, and reports the exchange. Before that, the kept cores have changed,
// so that the client's next request gets no older one. The reply carries the outcome for Envoy's access log.
func (x *exchange) sendLast(r *reply, outcome enrich.Outcome, err error) error {
	x.kept.Wait()
	if x.err == nil {
		x.clock.Sends(&x.report.Times)
		x.report.AnswerSize += len(r.body)
		x.report.Outcome = outcome
		if x.server.ServerTiming && outcome.Disposition != enrich.Passed && !x.streamed {
			r.timing = envoyhttp.ServerTiming(&x.report)
		}
		m := r.message()
		m.DynamicMetadata = dynamicMetadata(&x.report)
		x.err = x.stream.Send(m)
	}
	return x.finish(outcome, err)
}

// receiveRequestHeaders returns the request, and whether the exchange can continue.
func (x *exchange) receiveRequestHeaders() (enrich.Request, bool) {
	x.ruleset = x.server.Rules()
	m, ok := x.receive(requestHeaders)
	if !ok {
		x.checkOrder(m)
		return enrich.Request{}, false
	}
	headers := fields(m.GetRequestHeaders().GetHeaders().GetHeaders())
	x.request, x.metadata = m, m.GetMetadataContext()
	x.forged = headers.forged()
	x.report.Trace = traceOf(x.stream.Context(), headers)
	x.report.RequestID, _ = headers.get(requestID)
	return headers.request(), x.checkFirst(m, headers)
}

// continueRequest continues the request to the legacy service, with a change and without headers that only weft may
// set.
func (x *exchange) continueRequest(change enrich.Headers) {
	change.Remove = slices.Concat(change.Remove, x.forged)
	x.send(&reply{to: requestHeaders, change: change})
}

// recall returns what is kept for a request; nil if that is nothing. If Envoy's configuration was made
// from rules that keep none, such as before a reload, it does not send credentials, nor headers such as vary: a core
// could reach the wrong caller.
func (x *exchange) recall(
	rule *enrich.Rule, params []enrich.Value, request enrich.Request, legacyTarget string,
) *enrich.Kept {
	x.kept = x.server.Cores.Unsafe(x.stream.Context(), x.ruleset.rules, request)
	if x.server.Cores == nil || !rule.Keeps() || request.Method != http.MethodGet {
		return x.kept
	}
	headers := fields(x.request.GetRequestHeaders().GetHeaders().GetHeaders())
	request.Header = headers.header(rule.Keep.Credentials)
	request.HasBody = !x.request.GetRequestHeaders().GetEndOfStream()
	var isKnown bool
	request.HasCredentials, isKnown = headers.haveCredentials(x.request, rule.Keep.Credentials)
	if !isKnown {
		x.misconfigured("request_attributes", "Envoy does not say which requests have credentials: "+
			"regenerate its configuration with weft envoy; until then no cores are kept")
		return nil
	}
	x.report.Core = enrich.CoreMiss
	x.kept = x.server.Cores.Recall(x.stream.Context(), rule, params, request, legacyTarget, x.budget())
	return x.kept
}

func (x *exchange) receiveResponseHeaders() enrich.Response {
	m, ok := x.receive(responseHeaders)
	if !ok {
		return enrich.Response{}
	}
	headers := fields(m.GetResponseHeaders().GetHeaders().GetHeaders())
	details := codeDetailsOf(m)
	x.checkResponse(headers, details)
	response := headers.response(details, m.GetResponseHeaders().GetEndOfStream())
	if x.kept != nil {
		response.Header = headers.header([]string{"set-cookie"})
	}
	x.report.Status = response.Status
	return response
}

// continueWithBody requests the body of the response. If its length is known and within the limit, Envoy sends the
// complete body, and weft sets the new length (BUFFERED; a body over Envoy's own limit would result in a 500).
// Otherwise, or if compositions of the rule are known to be large, Envoy sends what fits in its buffer
// (BUFFERED_PARTIAL; a content-length would result in a 500).
func (x *exchange) continueWithBody(contentLength int64, rule *enrich.Rule) {
	mode := filterv3.ProcessingMode_BUFFERED_PARTIAL
	_, isLarge := x.ruleset.large.Load(rule.Name)
	x.buffered = contentLength >= 0 && contentLength <= int64(rule.CoreLimit) && !isLarge
	if x.buffered {
		mode = filterv3.ProcessingMode_BUFFERED
	}
	x.send(&reply{to: responseHeaders, mode: mode})
}

// await returns the extensions for a core. It waits no longer than the budget, which begins with the last message of
// Envoy. It is called when the core has arrived, so that the wait adds to the response time.
func (x *exchange) await(read *enrich.Read, core enrich.Core) enrich.Found {
	began := x.clock.Now()
	budget := x.budget()
	if budget > 0 {
		budget = max(budget-x.clock.Lap(), time.Nanosecond) // 0 would be no limit
	}
	found := read.Await(core, budget)
	x.clock.Waited(&x.report.Times, began, found.Reads)
	x.report.Reads = found.Reads
	if core.Kept != nil {
		x.report.Core, x.report.CoreAge = core.Kept.Use, core.Kept.Age
	}
	return found
}

// compose returns the composition. If Envoy has buffered the body, a new body that does not fit in its buffer would
// result in a 503. Such a composition omits the extensions, and the rule's next responses use BUFFERED_PARTIAL, which
// does not have this limit.
func (x *exchange) compose(
	rule *enrich.Rule, params []enrich.Value, core enrich.Core, found enrich.Found,
) enrich.Answer {
	if !x.buffered {
		return rule.Compose(params, core, found, envoyhttp.MaxAnswer)
	}
	answer := rule.Compose(params, core, found, rule.CoreLimit+envoyhttp.BufferSlack)
	if answer.Outcome.Reason == enrich.AnswerTooLarge {
		x.ruleset.large.Store(rule.Name, true)
	}
	return answer
}

// receiveResponseBody returns the body, and whether it is complete.
func (x *exchange) receiveResponseBody() (body []byte, isComplete bool) {
	asked := x.err == nil
	m, ok := x.receive(responseBody)
	if asked {
		x.checkBody(ok)
	}
	body = m.GetResponseBody().GetBody()
	x.report.CoreSize += len(body)
	return body, ok && (x.buffered || m.GetResponseBody().GetEndOfStream())
}

// passResponse passes the response with a change of its headers, and ends the exchange. No body was requested.
func (x *exchange) passResponse(reason enrich.Reason, change enrich.Headers) error {
	outcome := enrich.Outcome{Disposition: enrich.Passed, Reason: reason}
	return x.sendLast(&reply{to: responseHeaders, change: change}, outcome, nil)
}

// continueAndReplace replaces the response. Envoy drops its body, if it has one, and its content-length: the new
// response is chunked.
func (x *exchange) continueAndReplace(a enrich.Answer) error {
	return x.sendLast(&reply{
		to: responseHeaders, replace: true, change: envoyhttp.AnswerHeaders(a, false), newBody: true, body: a.Body,
	}, a.Outcome, a.Err)
}

// respondImmediately replaces the response before the legacy body is complete. It keeps nothing of the legacy response,
// not even headers.
func (x *exchange) respondImmediately(a enrich.Answer) error {
	return x.sendLast(
		&reply{status: a.Status, change: enrich.Headers{Set: a.Headers().Set}, body: a.Body}, a.Outcome, a.Err)
}

// passBody passes the body unchanged, and sets x-weft.
func (x *exchange) passBody(reason enrich.Reason, err error) error {
	outcome := enrich.Outcome{Disposition: enrich.Passed, Reason: reason}
	return x.sendLast(&reply{to: responseBody, change: enrich.PassHeaders(reason)}, outcome, err)
}

// replaceBody replaces the body. Headers and body change in one message: if weft dies before it, the complete legacy
// response passes.
func (x *exchange) replaceBody(a enrich.Answer) error {
	return x.sendLast(&reply{
		to: responseBody, change: envoyhttp.AnswerHeaders(a, x.buffered), newBody: true, body: a.Body,
	}, a.Outcome, a.Err)
}

// end ends an exchange without a reply, so that the response passes.
func (x *exchange) end(reason enrich.Reason) error {
	return x.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: reason})
}

// finish reports the exchange.
func (x *exchange) finish(outcome enrich.Outcome, errs ...error) error {
	x.report.Outcome, x.report.Err = outcome, errors.Join(errs...)
	if x.err != nil {
		x.report.Outcome, x.report.Err = enrich.Outcome{Disposition: enrich.Passed, Reason: ended(x.err)}, x.err
	}
	x.reported = true
	if x.server.Report != nil {
		x.server.Report(&x.report)
	}
	return nil
}

// ended returns the reason for an exchange that ended early. Envoy may either cancel or close the stream, for example
// when the client has disconnected or message_timeout has expired.
func ended(err error) enrich.Reason {
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled:
		return enrich.StreamEnded
	case status.Code(err) == codes.ResourceExhausted: // a message is larger than the gRPC server accepts
		return enrich.CoreTooLarge
	default:
		return enrich.OutOfOrder
	}
}

// recoverPanic ends an exchange that has panicked like one that ended early. It must be deferred.
func (x *exchange) recoverPanic() {
	err := enrich.AsPanic(recover())
	if err == nil {
		return
	}
	x.server.panicked(x.report.Rule, err)
	if !x.reported { // else Report panicked
		defer x.recoverPanic() // of Report
		x.err = nil
		_ = x.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: enrich.Panicked}, err)
	}
}

// panicked calls Panicked. It drops a panic of Panicked itself.
func (s *Server) panicked(rule string, err *enrich.PanicError) {
	if s.Panicked != nil {
		defer func() { _ = recover() }()
		s.Panicked(rule, err)
	}
}
