package extproc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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

// exchange is one stream, in plain values. Its methods do nothing once err is set.
type exchange struct {
	server  *Server
	ruleset *Ruleset
	stream  Stream
	config  config
	report  enrich.Report
	clock   envoyhttp.Clock

	metadata *corev3.Metadata // of the request
	forged   []string         // names of the request's headers that only weft may set
	err      error            // the first error of Receive or Send
	buffered bool             // the length of the response is known, and its body comes in one message
	streamed bool             // the headers of the answer are sent
	reported bool
}

func (s *Server) newExchange(stream Stream) *exchange {
	now := s.Now
	if now == nil {
		now = time.Now
	}
	return &exchange{server: s, stream: stream, config: configOf(stream.Context()), clock: envoyhttp.Clock{Now: now}}
}

// receive returns the next message. It reports whether the message is of the kind that is expected; if not, x.err is
// set.
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

// sendLast sends the reply that ends the exchange. It carries the outcome for Envoy's access log.
func (x *exchange) sendLast(r *reply, outcome enrich.Outcome) {
	if x.err == nil {
		x.clock.Sends(&x.report.Times)
		x.report.AnswerSize += len(r.body)
		x.report.Outcome = outcome
		if x.server.ServerTiming && outcome.Disposition != enrich.Passed && !x.streamed {
			r.timing = envoyhttp.ServerTiming(x.report.Times)
		}
		m := r.message()
		m.DynamicMetadata = dynamicMetadata(&x.report)
		x.err = x.stream.Send(m)
	}
}

// receiveRequestHeaders returns the request, and whether the exchange can go on.
func (x *exchange) receiveRequestHeaders() (enrich.Request, bool) {
	x.ruleset = x.server.Rules()
	m, ok := x.receive(requestHeaders)
	if !ok {
		x.checkOrder(m)
		return enrich.Request{}, false
	}
	headers := fields(m.GetRequestHeaders().GetHeaders().GetHeaders())
	x.metadata = m.GetMetadataContext()
	x.forged = headers.forged()
	x.report.Trace = traceOf(x.stream.Context(), headers)
	x.report.RequestID, _ = headers.get(requestID)
	return headers.request(), x.checkFirst(m, headers)
}

// continueRequest lets the request go to the legacy service, with a change and without headers that only weft may set.
func (x *exchange) continueRequest(change enrich.Headers) {
	change.Remove = slices.Concat(change.Remove, x.forged)
	x.send(&reply{to: requestHeaders, change: change})
}

func (x *exchange) receiveResponseHeaders() enrich.Response {
	m, ok := x.receive(responseHeaders)
	if !ok {
		return enrich.Response{}
	}
	headers := fields(m.GetResponseHeaders().GetHeaders().GetHeaders())
	details, hasDetails := codeDetailsOf(m)
	x.checkResponse(headers, hasDetails)
	response := headers.response(details, m.GetResponseHeaders().GetEndOfStream())
	x.report.Status = response.Status
	return response
}

// continueWithBody asks for the body of the response. If its length is known to be within the limit, Envoy sends it
// whole and the new length is set exactly (BUFFERED; a body over Envoy's own limit would end in a 500). Otherwise, or
// if answers of the rule are known to be large, Envoy sends what fits its buffer (BUFFERED_PARTIAL; there a
// content-length would end in a 500).
func (x *exchange) continueWithBody(contentLength int64, rule *enrich.Rule) {
	mode := filterv3.ProcessingMode_BUFFERED_PARTIAL
	x.buffered = contentLength >= 0 && contentLength <= int64(rule.CoreLimit) && !x.ruleset.large[rule].Load()
	if x.buffered {
		mode = filterv3.ProcessingMode_BUFFERED
	}
	x.send(&reply{to: responseHeaders, mode: mode})
}

// BufferSlack is how many bytes more than the largest core Envoy must be able to buffer: a response that fills its buffer
// exactly counts as too large, and there must be room for the extension.
const BufferSlack = envoyhttp.BufferSlack

// await returns the extensions of a core. It waits no longer than Envoy does. It is called when the core is there, so
// that what it waits is added to the client's time.
func (x *exchange) await(read *enrich.Read, core enrich.Core) enrich.Found {
	began := x.clock.Now()
	found := read.Await(core, cmp.Or(x.config.budget, x.ruleset.Budget))
	x.clock.Waited(&x.report.Times, began, found.Reads)
	x.report.Reads = found.Reads
	return found
}

// compose makes the answer. In place of a body that was buffered whole, Envoy takes no more than its buffer can hold:
// the client would get a 503. Such an answer goes without extensions, and the rule's next responses in
// BUFFERED_PARTIAL, which has no such limit.
func (x *exchange) compose(
	rule *enrich.Rule, params []enrich.Value, core enrich.Core, found enrich.Found,
) enrich.Answer {
	if !x.buffered {
		return rule.Compose(params, core, found, envoyhttp.MaxAnswer)
	}
	answer := rule.Compose(params, core, found, rule.CoreLimit+BufferSlack)
	if answer.Outcome.Reason == enrich.AnswerTooLarge {
		x.ruleset.large[rule].Store(true)
	}
	return answer
}

// receiveResponseBody returns the body, and whether it is complete.
func (x *exchange) receiveResponseBody() (body []byte, whole bool) {
	asked := x.err == nil
	m, ok := x.receive(responseBody)
	if asked {
		x.checkBody(ok)
	}
	body = m.GetResponseBody().GetBody()
	x.report.CoreSize += len(body)
	return body, ok && (x.buffered || m.GetResponseBody().GetEndOfStream())
}

// passResponse lets the response pass with a change of its headers, and ends the exchange. No body was asked for.
func (x *exchange) passResponse(reason enrich.Reason, change enrich.Headers) error {
	outcome := enrich.Outcome{Disposition: enrich.Passed, Reason: reason}
	x.sendLast(&reply{to: responseHeaders, change: change}, outcome)
	return x.finish(outcome)
}

// continueAndReplace answers in place of the response. Envoy drops its body, if it has one, and its content-length: the
// client gets a chunked answer.
func (x *exchange) continueAndReplace(a enrich.Answer) error {
	x.sendLast(&reply{
		to: responseHeaders, replace: true, change: envoyhttp.AnswerHeaders(a, false), newBody: true, body: a.Body,
	}, a.Outcome)
	return x.finish(a.Outcome, a.Err)
}

// respondImmediately answers before the legacy body is complete. Nothing of the legacy response is left, not even
// headers.
func (x *exchange) respondImmediately(a enrich.Answer) error {
	x.sendLast(&reply{status: a.Status, change: enrich.Headers{Set: a.Headers().Set}, body: a.Body}, a.Outcome)
	return x.finish(a.Outcome, a.Err)
}

// passBody lets the body pass as it is, and marks the response.
func (x *exchange) passBody(reason enrich.Reason, err error) error {
	outcome := enrich.Outcome{Disposition: enrich.Passed, Reason: reason}
	x.sendLast(&reply{to: responseBody, change: enrich.PassHeaders(reason)}, outcome)
	return x.finish(outcome, err)
}

// replaceBody replaces the body by the answer. Headers and body change with this one message, so that a weft that dies
// before it leaves the legacy response whole.
func (x *exchange) replaceBody(a enrich.Answer) error {
	x.sendLast(&reply{to: responseBody, change: envoyhttp.AnswerHeaders(a, x.buffered), newBody: true, body: a.Body}, a.Outcome)
	return x.finish(a.Outcome, a.Err)
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

// ended returns the reason for an exchange that ended early. Envoy cancels the stream as often as it closes it, for
// example when the client has gone or when its message_timeout is over.
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

// recoverPanic, which must be deferred, ends an exchange that has panicked like one that ended early.
func (x *exchange) recoverPanic() {
	err := enrich.AsPanic(recover())
	if err == nil {
		return
	}
	x.server.panicked(x.report.Rule, err)
	if !x.reported { // else it is Report that panicked
		defer x.recoverPanic() // of Report
		x.err = nil
		_ = x.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: enrich.Panicked}, err)
	}
}

// panicked calls Panicked. A panic of that has nobody to be reported to.
func (s *Server) panicked(rule string, err *enrich.PanicError) {
	if s.Panicked != nil {
		defer func() { _ = recover() }()
		s.Panicked(rule, err)
	}
}

// hasCoreOf reports whether the legacy service is asked for the core of a rule; see [RuleHeader].
func (x *exchange) hasCoreOf(rule *enrich.Rule) bool {
	return envoyhttp.HasCoreOf(x.ruleset.rules, x.config.rule, rule)
}
