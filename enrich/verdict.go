package enrich

import "net/http"

// Response has the parts of an HTTP response's headers that weft uses, and its origin.
type Response struct {
	Origin          Origin
	Status          int
	ContentLength   int64  // bytes; -1 if unknown
	ContentEncoding string // value of content-encoding; empty without it
	NoTransform     bool   // cache-control has no-transform (RFC 9111, section 5.2.2.6)
	Bodyless        bool   // the response ends with its headers
	Verified        bool   // the caller's verified claim equals the first parameter (Rule.Identity)
	Method          string // of the request

	Header http.Header // for rules that keep cores
}

// Origin is the origin of a response.
type Origin uint8

const (
	OriginUnknown     Origin = iota // not known
	OriginLegacy                    // the legacy service
	OriginUnreachable               // local reply of the proxy, because the legacy service did not respond
	OriginProxy                     // local reply for another reason: authorization, rate limit, direct response
)

// Action is what weft does with a response.
type Action uint8

const (
	Pass    Action = iota // pass it to the client
	Degrade               // respond without a core
	Compose               // read the body, which should be a core, and compose
	Stream                // the body should be a core, but is too large to buffer: see StreamHeaders
)

// Verdict returns the action for a response, from its headers. The reason is empty for Compose and Stream.
func (r *Rule) Verdict(resp Response) (Action, Reason) {
	action, reason := r.verdict(resp)
	if action == Degrade && !r.canDegrade(resp.Method) {
		return Pass, reason
	}
	return action, reason
}

// VerdictOnCore returns the action after the core was parsed. The reason is empty for Compose.
func (r *Rule) VerdictOnCore(resp Response, core Core) (Action, Reason) {
	switch {
	case core.Failed == "":
		return Compose, ""
	case !r.canDegrade(resp.Method):
		return Pass, core.Failed
	default: // the body may be a login page, so the caller may not be authorized
		return r.applyPolicy(resp, core.Failed)
	}
}

// canDegrade reports whether a response without a core can replace a failure. It cannot if the shape needs a core, nor
// if the method is not safe, because then the client must see the failure.
func (r *Rule) canDegrade(method string) bool { return r.AllowsMissingCore() && isRead(method) }

func (r *Rule) verdict(resp Response) (Action, Reason) {
	decoder, isSupported := decoderOf(resp.ContentEncoding)
	switch status := resp.Status; {
	case resp.Origin == OriginUnknown:
		return Pass, OriginNotSaid
	case resp.Origin == OriginUnreachable && status >= 500:
		return r.applyPolicy(resp, LegacyUnreachable)
	case resp.Origin != OriginLegacy:
		return Pass, LocalReply
	case status >= 500:
		return r.applyPolicy(resp, LegacyError)
	case status == 404 && r.DegradeNotFound:
		return Degrade, CoreNotFound
	case status == 404:
		return Pass, LegacyNotFound
	case status >= 400:
		return Pass, ClientError
	case status >= 300:
		return Pass, LegacyRedirect
	case status == 206:
		return Pass, PartialContent
	case status < 200:
		return Pass, NotFinal
	case resp.NoTransform:
		return Pass, NoTransform
	case resp.Method == "HEAD":
		return Compose, "" // the response to GET would be composed
	case (resp.Bodyless || status == 204 || status == 205) && !isRead(resp.Method):
		return Pass, NoContent
	case resp.Bodyless || status == 204 || status == 205:
		return r.applyPolicy(resp, CoreEmpty)
	case !isSupported:
		return Pass, CoreEncoded
	case resp.ContentLength >= 0 && resp.ContentLength <= int64(r.CoreLimit):
		return Compose, ""
	case r.StreamLarge && decoder == nil && r.AllowsMissingCore():
		return Stream, ""
	case resp.ContentLength >= 0:
		return Pass, CoreTooLarge
	default:
		return Compose, "" // of unknown length
	}
}

// applyPolicy applies Rule.Degrade to a failure of the legacy service.
func (r *Rule) applyPolicy(resp Response, why Reason) (Action, Reason) {
	if r.Degrade == DegradeAlways || r.Degrade == DegradeAuthenticated && resp.Verified {
		return Degrade, why
	}
	return Pass, NotDegraded
}

// Disposition is what happened to a response.
type Disposition string

const (
	Composed Disposition = "composed" // core and extensions, or a 304 for them
	Streamed Disposition = "streamed" // a streamed core and extensions
	Degraded Disposition = "degraded" // a response of weft without the core or an extension
	Passed   Disposition = "passed"   // the original response
	Rejected Disposition = "rejected" // a 400, without a request to the legacy service
)

// Reason is why a response was not composed completely. Reasons are constants, because they are values of the x-weft
// header and of metric labels.
type Reason string

const (
	NoRule         Reason = "no-rule"          // passed: no rule matches the request
	Misconfigured  Reason = "misconfigured"    // passed: the proxy's configuration prevents composition
	LegacyNotFound Reason = "not-found"        // passed: 404
	ClientError    Reason = "client-error"     // passed: another 4xx
	LegacyRedirect Reason = "redirect"         // passed: 3xx, including 304
	PartialContent Reason = "partial-content"  // passed: 206
	NotFinal       Reason = "not-final"        // passed: a status below 200
	NoTransform    Reason = "no-transform"     // passed: cache-control: no-transform
	NotDegraded    Reason = "not-degraded"     // passed: the legacy service failed, and Rule.Degrade does not apply
	NoContent      Reason = "no-content"       // passed: a 2xx without a body to a request that may change something
	HeadRequest    Reason = "head"             // passed: no body; headers that describe one are removed
	LocalReply     Reason = "local-reply"      // passed: local reply of the proxy
	OriginNotSaid  Reason = "origin-unknown"   // passed: the origin is not known
	CoreTooLarge   Reason = "core-too-large"   // passed: body over the rule's limit
	CoreEncoded    Reason = "content-encoding" // passed: content encoding not supported
	StreamEnded    Reason = "stream-ended"     // passed: the client or the proxy ended the exchange
	OutOfOrder     Reason = "out-of-order"     // passed: unexpected message from the proxy
	MemberTaken    Reason = "member-taken"     // passed: the core has a member with the name of an extension
	Panicked       Reason = "panic"            // passed: weft panicked

	LegacyError       Reason = "legacy-error"       // core failed: 5xx
	LegacyUnreachable Reason = "legacy-unreachable" // core failed: connection error, timeout, no healthy host
	CoreNotFound      Reason = "core-not-found"     // core failed: 404, with Rule.DegradeNotFound
	CoreEmpty         Reason = "core-empty"         // core failed: 2xx without a body
	CoreInvalid       Reason = "core-invalid"       // core failed: not the JSON that the rule requires

	KeyMismatch      Reason = "key-mismatch"      // extension withheld: the core belongs to another key
	ExtensionInvalid Reason = "extension-invalid" // extension failed: a field is missing or has another type
	ExtensionTimeout Reason = "extension-timeout" // extension failed: not read within the budget
	ExtensionFailed  Reason = "extension-failed"  // extension failed: the store could not be read
	AnswerTooLarge   Reason = "answer-too-large"  // extensions omitted: with them the body exceeds the proxy's limit
	Overloaded       Reason = "overloaded"        // extension failed: too many concurrent reads

	UnknownMember Reason = "unknown-member" // rejected: the request selects a name that the rule does not have
)

// Outcome is a disposition with its reason, or two reasons if both core and extension failed.
type Outcome struct {
	Disposition Disposition
	Reason      Reason // empty if composed
	Also        Reason // the extension's reason if Reason is the core's; else empty
	Stale       bool   // an extension is an older copy, for that reason
	CoreStale   bool   // the core is an older one, for that reason
}

// String returns the value of the x-weft header, for example "degraded; reason=legacy-error", or
// "degraded; reason=legacy-error; core=stale; extension=stale".
func (o Outcome) String() string {
	s := string(o.Disposition)
	if o.Reason != "" {
		s += "; reason=" + o.Reasons()
	}
	if o.CoreStale {
		s += "; core=stale"
	}
	if o.Stale {
		s += "; extension=stale"
	}
	return s
}

// Reasons returns the reason, or both with a plus between them; empty if composed.
func (o Outcome) Reasons() string {
	if o.Also == "" {
		return string(o.Reason)
	}
	return string(o.Reason) + "+" + string(o.Also)
}
