package extproc

import (
	"errors"
	"fmt"
	"slices"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"weft/enrich"
	"weft/internal/grpcloop"
)

// exchange is one stream, at the level of plain values. Every method is a no-op once err is set.
type exchange struct {
	server *Server
	stream *grpcloop.Stream
	report enrich.Report
	clock  clock

	request  message // its head
	response message // its head
	body     message // what came last of it

	envoyBudget time.Duration // see BudgetHeader; zero if Envoy does not send it
	err         error         // the first that a receive or a send met
	buffered    bool          // the response's length is known, and its body is to come in one piece
	streamed    bool          // the head of the answer has gone
	generated   bool          // Envoy's configuration is that of weft envoy for these rules
}

// errUnexpected is a message that the conversation has no place for.
type errUnexpected struct{ got, want kind }

func (e errUnexpected) Error() string { return fmt.Sprintf("received %s, expected %s", e.got, e.want) }

// receive reads the next message into m. It reports whether that is of the kind that the conversation is at; if not, it
// records the error.
func (x *exchange) receive(m *message, want kind) bool {
	if x.err != nil {
		return false
	}
	m.release() // the chunk before
	b, err := x.stream.Receive()
	if err == nil {
		err = m.decode(b)
	}
	if err == nil && m.kind != want {
		err = errUnexpected{got: m.kind, want: want}
	}
	x.err = err
	x.clock.received(&x.report.Times)
	return x.err == nil
}

func (x *exchange) send(r *reply) {
	if x.err == nil {
		r.of = x.known(r.to)
		x.clock.sends(&x.report.Times)
		x.report.AnswerSize += len(r.prefix) + len(r.body)
		x.err = x.stream.Send(r.encode())
	}
}

// sendLast sends the reply that ends the exchange. It tells Envoy what the exchange has come to.
func (x *exchange) sendLast(r *reply, outcome enrich.Outcome) {
	if x.err == nil {
		x.clock.sends(&x.report.Times)
		x.report.AnswerSize += len(r.prefix) + len(r.body)
		x.report.Outcome = outcome
		r.of = x.known(r.to)
		r.report = &x.report
		if x.server.ServerTiming && outcome.Disposition != enrich.Passed && !x.streamed {
			r.timing = serverTiming(x.report.Times)
		}
		x.err = x.stream.Send(r.encode())
	}
}

// known returns the head that a reply changes, if it is known to be shown whole.
func (x *exchange) known(to kind) *message {
	switch {
	case !x.generated:
		return nil
	case to == requestHeaders:
		return &x.request
	case to == responseHeaders || to == responseBody:
		return &x.response
	default:
		return nil
	}
}

// receiveRequestHeaders returns the request, and whether Envoy's configuration lets the exchange go on.
func (x *exchange) receiveRequestHeaders(envoyConfig string) (enrich.Request, bool) {
	if !x.receive(&x.request, requestHeaders) {
		x.server.checkOrder(&x.request)
		return enrich.Request{}, true
	}
	x.report.Trace, x.report.RequestID = x.trace(), x.request.requestID()
	return x.request.request(), x.checkFirst(envoyConfig)
}

func (x *exchange) continueRequest(change enrich.Headers) {
	if forged := x.request.forged(); forged != nil {
		change.Remove = slices.Concat(change.Remove, forged)
	}
	x.send(&reply{to: requestHeaders, change: change})
}

func (x *exchange) receiveResponseHeaders() enrich.Response {
	if !x.receive(&x.response, responseHeaders) {
		return enrich.Response{}
	}
	x.server.checkResponse(&x.response)
	response := x.response.response()
	x.report.Status = response.Status
	return response
}

// continueWithBody asks for the response's body. If its length is known to be within the limit, Envoy sends it whole and
// the new length is told exactly (BUFFERED; over Envoy's own limit that would end in a 500). Otherwise, or where answers of
// the rule are known to be large, it sends what fits its buffer (BUFFERED_PARTIAL; there a content-length would end in a 500).
func (x *exchange) continueWithBody(contentLength int64, rule *enrich.Rule) {
	mode := filterv3.ProcessingMode_BUFFERED_PARTIAL
	_, large := x.server.large.Load(rule)
	if x.buffered = contentLength >= 0 && contentLength <= int64(rule.CoreLimit) && !large; x.buffered {
		mode = filterv3.ProcessingMode_BUFFERED
	}
	x.send(&reply{to: responseHeaders, mode: mode})
}

const (
	// BufferSlack is how many bytes more than the largest core Envoy must be able to buffer: a response that fills its buffer
	// exactly would already count as too large, and there is room for the extension.
	BufferSlack = 64 << 10

	// maxAnswer is how many bytes an answer may have that Envoy does not have to buffer. A list could have any number of
	// copies of a large document.
	maxAnswer = 32 << 20
)

// compose makes the answer. In the place of a body that was buffered whole, Envoy takes no more than its buffer can hold:
// the client would get a 503. So it gets a core without extensions then, and the rule's next answers are not told their
// length, which takes that limit away.
func (x *exchange) compose(rule *enrich.Rule, params []enrich.Value, core enrich.Core, found enrich.Found) enrich.Answer {
	if !x.buffered {
		return rule.Compose(params, core, found, maxAnswer)
	}
	answer := rule.Compose(params, core, found, rule.CoreLimit+BufferSlack)
	if answer.Outcome.Reason == enrich.AnswerTooLarge {
		x.server.large.Store(rule, true)
	}
	return answer
}

// receiveResponseBody returns the body, and whether that is all of it.
func (x *exchange) receiveResponseBody() (body []byte, whole bool) {
	asked := x.err == nil
	came := x.receive(&x.body, responseBody)
	if asked {
		x.server.checkBody(came)
	}
	x.report.CoreSize += len(x.body.body)
	x.stepAside()
	return x.body.body, came && (x.buffered || x.body.endOfStream)
}

// largeBody is from how many bytes on a body takes so long to check and to join that other exchanges would notice.
const largeBody = 64 << 10

// stepAside has an exchange with a large body go on beside the loop of its connection, which has other exchanges to carry.
func (x *exchange) stepAside() {
	if len(x.body.body) >= largeBody {
		x.stream.Detach()
	}
}

// passResponse lets the response go with no more than a change of its headers, and ends the exchange. No body was asked
// for.
func (x *exchange) passResponse(reason enrich.Reason, change enrich.Headers) error {
	x.sendLast(&reply{to: responseHeaders, change: change}, enrich.Outcome{Disposition: enrich.Passed, Reason: reason})
	return x.end(reason)
}

// replaceResponse answers in place of the response, whose body, if it has one, is dropped by Envoy. So is any
// content-length: the client gets the answer chunked.
func (x *exchange) replaceResponse(a enrich.Answer) error {
	x.sendLast(&reply{to: responseHeaders, replace: true, change: answerChange(a, false), newBody: true, body: a.Body}, a.Outcome)
	return x.finish(a.Outcome, a.Err)
}

// replaceImmediately answers although not all of the legacy body has come. Nothing of the legacy response is left, not
// even headers.
func (x *exchange) replaceImmediately(a enrich.Answer) error {
	x.sendLast(&reply{status: a.Status, change: enrich.Headers{Set: a.Headers().Set}, body: a.Body}, a.Outcome)
	return x.finish(a.Outcome, a.Err)
}

// passBody lets the body go as it is, and marks the response.
func (x *exchange) passBody(reason enrich.Reason, err error) error {
	outcome := enrich.Outcome{Disposition: enrich.Passed, Reason: reason}
	x.sendLast(&reply{to: responseBody, change: enrich.PassHeaders(reason)}, outcome)
	return x.finish(outcome, err)
}

// replaceBody puts the answer in the place of the body. Head and body change in this one message, so that a weft that
// dies before it leaves the legacy response whole.
func (x *exchange) replaceBody(a enrich.Answer) error {
	x.sendLast(&reply{to: responseBody, change: answerChange(a, x.buffered), newBody: true, body: a.Body}, a.Outcome)
	return x.finish(a.Outcome, a.Err)
}

// verified reports whether a claim of a token that Envoy has verified is the first parameter. Its jwt_authn filter keeps the token's
// payload in its metadata, which the configuration forwards.
func (x *exchange) verified(claim enrich.Claim, params []enrich.Value) bool {
	if len(params) == 0 || len(x.request.metadata) == 0 {
		return false
	}
	key := params[0]
	md := &corev3.Metadata{}
	if err := proto.Unmarshal(x.request.metadata, md); err != nil {
		return false
	}
	payload := md.GetFilterMetadata()[JWTMetadata].GetFields()[claim.Payload].GetStructValue()
	switch value := payload.GetFields()[claim.Name].GetKind().(type) {
	case *structpb.Value_StringValue:
		return value.StringValue == key.String()
	case *structpb.Value_NumberValue:
		const exact = 1 << 53 // beyond it a double may stand for several integers
		return key.Type == enrich.Int64 && value.NumberValue == float64(key.Int) && key.Int > -exact && key.Int < exact
	default:
		return false
	}
}

// JWTMetadata is the namespace of Envoy's jwt_authn filter in the metadata of a request.
const JWTMetadata = "envoy.filters.http.jwt_authn"

// end ends an exchange whose response passes.
func (x *exchange) end(reason enrich.Reason) error {
	return x.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: reason})
}

// finish reports the exchange. What Process returns is always nil, gRPC's OK: to Envoy that is a processor that has
// nothing more to say, while an error counts against the sidecar and fails the exchange where the filter is
// configured to fail closed.
func (x *exchange) finish(outcome enrich.Outcome, errs ...error) error {
	x.report.Outcome, x.report.Err = outcome, errors.Join(errs...)
	if x.err != nil {
		x.report.Outcome, x.report.Err = enrich.Outcome{Disposition: enrich.Passed, Reason: ended(x.err)}, x.err
	}
	if x.server.Report != nil {
		x.server.Report(&x.report)
	}
	x.body.release()
	return nil
}

// ended names the error that ended a conversation before its end. Envoy cancels the stream as often as it closes it,
// for instance when the client has gone, or when its message_timeout has run out.
func ended(err error) enrich.Reason {
	if grpcloop.IsCanceled(err) {
		return enrich.StreamEnded
	}
	return enrich.OutOfOrder
}

// budget returns how long the filter may be kept waiting, or zero if there is no telling.
func (x *exchange) budget() time.Duration {
	if x.envoyBudget > 0 {
		return x.envoyBudget
	}
	return x.server.Budget
}
