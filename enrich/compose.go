package enrich

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Answer is the response that replaces the legacy response.
type Answer struct {
	Status  int      // 0 means the status of the legacy response
	Type    string   // content-type; empty means that of the legacy response
	Body    []byte   // JSON; nil for a 304
	ETag    string   // entity tag of a complete response; empty for others
	Fields  []Header // of a kept core; nil for others
	Outcome Outcome
	Err     error // cause of the outcome, from the core or the store; nil if nothing failed
}

// Compose joins core and extensions, byte for byte. The status is that of the legacy response, or without a core 200 if
// there is an extension and 503 otherwise. If the body would exceed limit bytes, Compose omits the extensions as if
// they had failed. Only rules with [Rule.AllowsMissingCore] support a missing core. The zero Core is a missing core.
func (r *Rule) Compose(params []Value, core Core, found Found, limit int) Answer {
	if core.Failed != "" || core.JSON == nil {
		core.Failed = cmp.Or(core.Failed, CoreEmpty)
		return r.composeWithoutCore(core, found)
	}
	if r.minSize(core, found) <= limit { // do not allocate a body that is too large
		if answer := r.join(params, core, found); len(answer.Body) <= limit {
			return answer
		}
	}
	return r.join(params, core, found.without(errAnswerTooLarge))
}

// minSize returns the minimum size of a body, in bytes: without the bytes that the shape adds.
func (r *Rule) minSize(core Core, found Found) int {
	n := len(core.JSON)
	for i := range core.units {
		for source := range r.Sources {
			n += len(found.of(source, i).JSON)
		}
	}
	return n
}

func (r *Rule) join(params []Value, core Core, found Found) Answer {
	const overhead = 100 // bytes for names and a message
	body := make([]byte, 0, r.minSize(core, found)+overhead*(len(core.units)*len(r.Sources)+1))
	shape, done := r.shape(), 0
	answer := Answer{Outcome: Outcome{Disposition: Composed}}
	if core.Kept != nil {
		answer = core.Kept.answer()
	}
	if shape.object == nil { // otherwise the body is the legacy object with additional members
		answer.Type = r.ContentType
	}
	for i := range core.units {
		u := &core.units[i]
		p := r.parts(params, u, i, found)
		p.isStaleCore = answer.Outcome.CoreStale
		body = append(body, core.JSON[done:u.start]...)
		body = shape.appendUnit(body, core.JSON, u, p)
		done = u.end
		reason, isStale, err := p.failure()
		switch {
		case reason == "":
		case answer.Outcome.CoreStale: // which is one core, not a list
			answer.Outcome.Also, answer.Err = reason, err
		case answer.Outcome.Reason == "":
			answer.Outcome.Disposition, answer.Outcome.Reason, answer.Err = Degraded, reason, err
		}
		answer.Outcome.Stale = answer.Outcome.Stale || isStale
	}
	answer.Body = append(body, core.JSON[done:]...)
	if answer.Outcome.Disposition == Composed {
		answer.ETag = entityTag(answer.Body)
	}
	return answer
}

func (r *Rule) composeWithoutCore(core Core, found Found) Answer {
	p := r.parts(nil, nil, 0, found)
	p.noCore = true
	errs := []error{core.Err}
	hasExtension := false
	for source, reason := range p.missing {
		ext := found.of(source, 0)
		errs = append(errs, ext.Err, ext.Stale)
		hasExtension = hasExtension || reason == ""
	}
	reason, isStale, _ := p.failure()
	answer := Answer{
		Type:    r.ContentType,
		Outcome: Outcome{Disposition: Degraded, Reason: core.Failed, Also: reason, Stale: isStale},
		Err:     errors.Join(errs...),
	}
	if !hasExtension {
		answer.Status, answer.Body = 503, r.Unavailable()
		return answer
	}
	shape := r.shape()
	body := shape.head(nil, r)
	if !r.omitsCore() {
		body = append(body, "null"...)
	}
	answer.Status, answer.Body = 200, shape.tail(body, p)
	return answer
}

// Unavailable returns the body of the 503 for an exchange in which both core and extensions failed.
func (r *Rule) Unavailable() []byte {
	return append(appendQuoted([]byte(`{"detail":`), r.Messages.BothFailed), '}')
}

// Frame returns the bytes before and after a core if all extensions failed. [Rule.AllowsMissingCore] must be true.
func (r *Rule) Frame() (head, tail []byte) {
	return r.shape().head(nil, r), r.shape().tail(nil, r.parts(nil, nil, 0, Found{}))
}

// parts has the extensions and errors for one core.
type parts struct {
	rule    *Rule
	found   Found
	unit    int      // index of the core
	missing []Reason // by source: why the extension is missing; empty if it is not
	isOther bool     // the core belongs to another key than the request
	noCore  bool

	isStaleCore bool // a kept core stands in
}

// parts returns the parts for core u with index i. u is nil if the core is missing or not known yet. The extensions are
// withheld if u belongs to another key than the request.
func (r *Rule) parts(params []Value, u *unit, i int, found Found) parts {
	p := parts{rule: r, found: found, unit: i, missing: make([]Reason, len(r.Sources))}
	p.isOther = u != nil && !r.belongs(u, params)
	for source := range r.Sources {
		if p.missing[source] = extensionFailure(found.of(source, i).Err); p.isOther {
			p.missing[source] = KeyMismatch
		}
	}
	return p
}

// hasMissing reports whether an extension is missing.
func (p parts) hasMissing() bool {
	return slices.ContainsFunc(p.missing, func(reason Reason) bool { return reason != "" })
}

// failure returns the reason and the error of the first missing extension or, if none is missing, of the first one that
// an older copy replaces. The reason is empty if no read failed.
func (p parts) failure() (reason Reason, isStale bool, err error) {
	isMissing := false
	for source, missing := range p.missing {
		ext := p.found.of(source, p.unit)
		switch {
		case missing != "" && !isMissing:
			isMissing, reason, err = true, missing, ext.Err
		case missing == "" && ext.Stale != nil:
			isStale = true
			if reason == "" {
				reason, err = extensionFailure(ext.Stale), ext.Stale
			}
		}
	}
	if reason == "" && p.isOther { // the request selects no extension
		reason = KeyMismatch
	}
	return reason, isStale, err
}

// appendExtensions appends the extensions as members of an object, with null for missing ones.
func (p parts) appendExtensions(dst []byte, isFirst bool) []byte {
	for source, s := range p.rule.Sources {
		if !isFirst {
			dst = append(dst, ',')
		}
		isFirst = false
		dst = append(appendQuoted(dst, s.Name), ':')
		if p.missing[source] != "" {
			dst = append(dst, "null"...)
		} else {
			dst = append(dst, p.found.of(source, p.unit).JSON...)
		}
	}
	return dst
}

// appendErrors appends the errors as a member of an object, after others if there are any.
func (p parts) appendErrors(dst []byte) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	dst = append(appendQuoted(dst, p.rule.Members.Errors), ":["...)
	empty := len(dst)
	add := func(message string) {
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, message)
	}
	if p.noCore {
		add(p.rule.Messages.CoreFailed)
	}
	if p.isStaleCore && p.rule.Messages.CoreStale != "" {
		add(p.rule.Messages.CoreStale)
	}
	for source, reason := range p.missing {
		if reason != "" {
			add(p.rule.Sources[source].Failed)
		}
	}
	return append(dst, ']')
}

// extensionFailure returns the reason for the error of a read; empty if err is nil.
func extensionFailure(err error) Reason {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrWrongType):
		return ExtensionInvalid
	case errors.Is(err, context.DeadlineExceeded):
		return ExtensionTimeout
	case errors.Is(err, errAnswerTooLarge):
		return AnswerTooLarge
	case errors.Is(err, ErrOverloaded):
		return Overloaded
	default:
		return ExtensionFailed
	}
}

// appendQuoted appends a JSON string. s is from the rules and valid UTF-8.
func appendQuoted(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
