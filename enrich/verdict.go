package enrich

import "strings"

// Response is the head of an HTTP response, and who made it.
type Response struct {
	Origin          Origin
	Status          int
	ContentLength   int64  // bytes; -1 when the length is not known
	ContentEncoding string // as in the header, empty for none
	NoTransform     bool   // cache-control has no-transform (RFC 9111, section 5.2.2.6)
	Bodyless        bool   // the response ends with its head
	Verified        bool   // the proxy has verified that the caller is the one whom the first parameter names (Rule.Identity)
	Method          string // of the request
}

// Origin says who made a response.
type Origin uint8

const (
	OriginUnknown     Origin = iota // the proxy did not say
	OriginLegacy                    // the legacy service
	OriginUnreachable               // the proxy, since it got no answer from the legacy service
	OriginProxy                     // the proxy, for reasons of its own (authorization, rate limit, direct response…)
)

// Action is what becomes of a response.
type Action uint8

const (
	Pass    Action = iota // it reaches the client as it is
	Degrade               // there is no core in it: the client gets a composite without one, and no byte of its body
	Compose               // its body should be a core: read it, then compose
	Stream                // the same, but it is too large to be read first: see StreamHeaders
)

// Verdict decides from the head of a response what becomes of it. The reason is empty for Compose and Stream.
func (r *Rule) Verdict(resp Response) (Action, Reason) {
	action, reason := r.verdict(resp)
	if action == Degrade && !r.degrades(resp.Method) {
		return Pass, reason
	}
	return action, reason
}

// VerdictOnCore decides the same from the core, once it is there. The reason is empty for Compose.
func (r *Rule) VerdictOnCore(resp Response, core Core) (Action, Reason) {
	switch {
	case core.Failed == "":
		return Compose, ""
	case !r.degrades(resp.Method):
		return Pass, core.Failed
	default: // what is no core may be a login page: nobody is known to have checked the caller
		return r.mayDegrade(resp, core.Failed)
	}
}

func (r *Rule) verdict(resp Response) (Action, Reason) {
	switch status := resp.Status; {
	case resp.Origin == OriginUnknown:
		return Pass, OriginNotSaid
	case resp.Origin == OriginUnreachable && status >= 500:
		return r.mayDegrade(resp, LegacyUnreachable)
	case resp.Origin != OriginLegacy:
		return Pass, LocalReply
	case status >= 500:
		return r.mayDegrade(resp, LegacyError)
	case status == 404 && r.NotFound == DegradeNotFound:
		return Degrade, CoreNotFound
	case status == 404:
		return Pass, LegacyNotFound
	case status >= 400:
		return Pass, LegacyRefused
	case status >= 300:
		return Pass, LegacyRedirect
	case status == 206:
		return Pass, PartialContent
	case status < 200:
		return Pass, NotFinal
	case resp.NoTransform:
		return Pass, NoTransform
	case resp.Bodyless || status == 204 || status == 205:
		return r.mayDegrade(resp, CoreEmpty)
	case !canDecode(resp.ContentEncoding):
		return Pass, CoreEncoded
	case resp.ContentLength >= 0 && resp.ContentLength <= int64(r.CoreLimit):
		return Compose, ""
	case r.Large == StreamLarge && isIdentity(resp.ContentEncoding):
		return Stream, ""
	case resp.ContentLength >= 0:
		return Pass, CoreTooLarge
	default:
		return Compose, "" // what it turns out to be
	}
}

// mayDegrade applies the rule's policy to a failure of the legacy service.
func (r *Rule) mayDegrade(resp Response, why Reason) (Action, Reason) {
	if r.Degrade == DegradeNever || r.Degrade == DegradeAuthenticated && !resp.Verified {
		return Pass, NotDegraded
	}
	return Degrade, why
}

// Disposition is what became of a response in the end.
type Disposition string

const (
	Composed Disposition = "composed" // core and extension, or a 304 in place of them
	Streamed Disposition = "streamed" // core, spliced as it came, and extension
	Degraded Disposition = "degraded" // weft's own body, with a half or both missing
	Passed   Disposition = "passed"   // untouched
)

// Reason says why a response was not composed whole. Reasons are few and fixed: they are values of the x-weft header
// and labels of metrics.
type Reason string

const (
	NoRule         Reason = "no-rule"          // passed: no rule for this request
	Misconfigured  Reason = "misconfigured"    // passed: the proxy's configuration is not what weft needs
	LegacyNotFound Reason = "not-found"        // passed: 404
	LegacyRefused  Reason = "refused"          // passed: other 4xx; who may not read the core gets no extension
	LegacyRedirect Reason = "redirect"         // passed: 3xx, 304 included
	PartialContent Reason = "partial-content"  // passed: 206
	NotFinal       Reason = "not-final"        // passed: a status below 200
	NoTransform    Reason = "no-transform"     // passed: the legacy service forbids to change its body
	NotDegraded    Reason = "not-degraded"     // passed: the legacy service failed, and the rule gives no extension alone
	HeadRequest    Reason = "head"             // passed: there is no body to change, but its length and validators went
	LocalReply     Reason = "local-reply"      // passed: the proxy answered for reasons of its own
	OriginNotSaid  Reason = "origin-unknown"   // passed: the proxy did not say who answered
	CoreTooLarge   Reason = "core-too-large"   // passed: body over the rule's limit
	CoreEncoded    Reason = "content-encoding" // passed: body in a content encoding that weft cannot decode
	StreamEnded    Reason = "stream-ended"     // passed: the client or the proxy gave up
	OutOfOrder     Reason = "out-of-order"     // passed: the proxy sent another message than the conversation has here
	Panicked       Reason = "panic"            // passed: weft has panicked

	LegacyError       Reason = "legacy-error"       // core failed: 5xx
	LegacyUnreachable Reason = "legacy-unreachable" // core failed: refused, reset, timeout, no healthy host
	CoreNotFound      Reason = "core-not-found"     // core failed: 404, where the rule degrades it
	CoreEmpty         Reason = "core-empty"         // core failed: 2xx without a body
	CoreInvalid       Reason = "core-invalid"       // core failed: not the JSON object that the rule asks for

	MemberTaken Reason = "member-taken" // passed: the core has a member with the name of an extension

	KeyMismatch      Reason = "key-mismatch"      // extension withheld: the core is another one's
	ExtensionInvalid Reason = "extension-invalid" // extension failed: a field of a wrong type
	ExtensionTimeout Reason = "extension-timeout" // extension failed: not there within the proxy's budget
	ExtensionFailed  Reason = "extension-failed"  // extension failed: the store could not be read
	AnswerTooLarge   Reason = "answer-too-large"  // extensions left out: with them the body would be more than the proxy takes
	Overloaded       Reason = "overloaded"        // extension failed: too many reads of the store were under way
)

// Outcome is a disposition with its reason, or with two where both halves failed.
type Outcome struct {
	Disposition Disposition
	Reason      Reason // empty if composed
	Also        Reason // the extension's reason where Reason is the core's; empty otherwise
}

// String returns the value of the x-weft header, for example "degraded; reason=legacy-error".
func (o Outcome) String() string {
	var b strings.Builder
	b.WriteString(string(o.Disposition))
	if o.Reason != "" {
		b.WriteString("; reason=" + string(o.Reason))
	}
	if o.Also != "" {
		b.WriteString("+" + string(o.Also))
	}
	return b.String()
}
