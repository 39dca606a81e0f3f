package enrich

// Response is what the headers of an HTTP response say, and who made it.
type Response struct {
	Origin          Origin
	Status          int
	ContentLength   int64  // bytes; -1 if unknown
	ContentEncoding string // as in the header; empty for none
	NoTransform     bool   // cache-control has no-transform (RFC 9111, section 5.2.2.6)
	Bodyless        bool   // the response ends with its headers
	Verified        bool   // the proxy has verified that the caller is the one in the first parameter (Rule.Identity)
	Method          string // of the request
}

// Origin says who made a response.
type Origin uint8

const (
	OriginUnknown     Origin = iota // the proxy did not say
	OriginLegacy                    // the legacy service
	OriginUnreachable               // the proxy, because the legacy service did not answer
	OriginProxy                     // the proxy, for another reason: authorization, rate limit, direct response
)

// Action is what weft does with a response.
type Action uint8

const (
	Pass    Action = iota // the client gets it as it is
	Degrade               // it has no core: the client gets an answer without one
	Compose               // read its body, which should be a core, then compose
	Stream                // its body should be a core, but is too large to read first: see StreamHeaders
)

// Verdict decides from the headers of a response. The reason is empty for Compose and Stream.
func (r *Rule) Verdict(resp Response) (Action, Reason) {
	action, reason := r.verdict(resp)
	if action == Degrade && !r.canDegrade(resp.Method) {
		return Pass, reason
	}
	return action, reason
}

// VerdictOnCore decides from the core. The reason is empty for Compose.
func (r *Rule) VerdictOnCore(resp Response, core Core) (Action, Reason) {
	switch {
	case core.Failed == "":
		return Compose, ""
	case !r.canDegrade(resp.Method):
		return Pass, core.Failed
	default: // a body that is not a core may be a login page: the caller may not be authorized
		return r.applyPolicy(resp, core.Failed)
	}
}

// canDegrade reports whether an answer without a core can replace a response. It cannot if the shape needs a core, nor
// if the request may have changed something: the client must see that it failed.
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
		return r.applyPolicy(resp, CoreEmpty)
	case !isSupported:
		return Pass, CoreEncoded
	case resp.ContentLength >= 0 && resp.ContentLength <= int64(r.CoreLimit):
		return Compose, ""
	case r.Large == StreamLarge && decoder == nil && r.AllowsMissingCore():
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
	Streamed Disposition = "streamed" // a core that was streamed, and extensions
	Degraded Disposition = "degraded" // an answer of weft in which something is missing
	Passed   Disposition = "passed"   // untouched
)

// Reason says why a response was not composed completely. Reasons are few and fixed: they are values of the x-weft
// header and labels of metrics.
type Reason string

const (
	NoRule         Reason = "no-rule"          // passed: no rule matches the request
	Misconfigured  Reason = "misconfigured"    // passed: the proxy's configuration lacks something that weft needs
	LegacyNotFound Reason = "not-found"        // passed: 404
	LegacyRefused  Reason = "refused"          // passed: another 4xx; without the core the caller gets no extension
	LegacyRedirect Reason = "redirect"         // passed: 3xx, including 304
	PartialContent Reason = "partial-content"  // passed: 206
	NotFinal       Reason = "not-final"        // passed: a status below 200
	NoTransform    Reason = "no-transform"     // passed: the legacy service forbids changes of its body
	NotDegraded    Reason = "not-degraded"     // passed: the legacy service failed, and the policy is not to degrade
	HeadRequest    Reason = "head"             // passed: no body; headers that describe one are removed
	LocalReply     Reason = "local-reply"      // passed: the proxy's own response
	OriginNotSaid  Reason = "origin-unknown"   // passed: the proxy did not say who responded
	CoreTooLarge   Reason = "core-too-large"   // passed: body over the rule's limit
	CoreEncoded    Reason = "content-encoding" // passed: body in a content encoding that weft cannot decode
	StreamEnded    Reason = "stream-ended"     // passed: the client or the proxy ended the exchange
	OutOfOrder     Reason = "out-of-order"     // passed: unexpected message of the proxy
	MemberTaken    Reason = "member-taken"     // passed: the core has a member with the name of an extension
	Panicked       Reason = "panic"            // passed: weft has panicked

	LegacyError       Reason = "legacy-error"       // core failed: 5xx
	LegacyUnreachable Reason = "legacy-unreachable" // core failed: refused, reset, timeout, no healthy host
	CoreNotFound      Reason = "core-not-found"     // core failed: 404, and the rule degrades it
	CoreEmpty         Reason = "core-empty"         // core failed: 2xx without a body
	CoreInvalid       Reason = "core-invalid"       // core failed: not the JSON object that the rule requires

	KeyMismatch      Reason = "key-mismatch"      // extension withheld: the core belongs to another key
	ExtensionInvalid Reason = "extension-invalid" // extension failed: a field of a wrong type
	ExtensionTimeout Reason = "extension-timeout" // extension failed: not read within the proxy's budget
	ExtensionFailed  Reason = "extension-failed"  // extension failed: the store could not be read
	AnswerTooLarge   Reason = "answer-too-large"  // extensions left out: with them the body exceeds the proxy's limit
	Overloaded       Reason = "overloaded"        // extension failed: too many concurrent reads of the store
)

// Outcome is a disposition with its reason, or with two reasons if both halves failed.
type Outcome struct {
	Disposition Disposition
	Reason      Reason // empty if composed
	Also        Reason // the extension's reason if Reason is the core's; else empty
}

// String returns the value of the x-weft header, for example "degraded; reason=legacy-error".
func (o Outcome) String() string {
	if o.Reason == "" {
		return string(o.Disposition)
	}
	return string(o.Disposition) + "; reason=" + o.Reasons()
}

// Reasons returns the reason, or both with a plus between them; empty if there is none.
func (o Outcome) Reasons() string {
	if o.Also == "" {
		return string(o.Reason)
	}
	return string(o.Reason) + "+" + string(o.Also)
}
