package enrich

import (
	"context"
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// Answer is what the client gets in place of the legacy response.
type Answer struct {
	Status  int
	Body    []byte // JSON; nil for a 304
	ETag    string // entity tag of an answer in which nothing is missing; empty for others
	Outcome Outcome
	Err     error // what stood behind the outcome, of the core or the store; nil if nothing did
}

// Compose joins the halves. Core and extensions are spliced as they are; the result is valid JSON if they are. It is 200
// if at least one of them is there. Where there is no place for a missing core, Core.Failed must be empty. When the body
// would be longer than limit, in bytes, the extensions are left out as if they had failed.
func (r *Rule) Compose(params []Value, core Core, found Found, limit int) Answer {
	if core.Failed != "" {
		return r.composeWithout(core, found)
	}
	if r.atLeast(core, found) > limit { // so that no memory is asked for it
		return r.join(params, core, found.without(errAnswerTooLarge))
	}
	answer := r.join(params, core, found)
	if len(answer.Body) > limit {
		return r.join(params, core, found.without(errAnswerTooLarge))
	}
	return answer
}

// atLeast returns how long a body is, without the frames.
func (r *Rule) atLeast(core Core, found Found) int {
	n := len(core.JSON)
	for i := range core.units {
		for source := range r.Sources {
			n += len(found.of(source, i).JSON)
		}
	}
	return n
}

func (r *Rule) join(params []Value, core Core, found Found) Answer {
	const frame = 100 // and a message
	body := make([]byte, 0, r.atLeast(core, found)+frame*(len(core.units)*len(r.Sources)+1))
	answer := Answer{Status: 200, Outcome: Outcome{Disposition: Composed}}
	var missing Reason
	done := 0
	for i := range core.units {
		u := &core.units[i]
		failed := r.failures(params, u, i, found)
		body = append(body, core.JSON[done:u.start]...)
		body = r.appendUnit(body, core.JSON, u, i, found, failed)
		done = u.end
		for source, reason := range failed {
			if reason != "" && missing == "" {
				missing, answer.Err = reason, found.of(source, i).Err
			}
		}
	}
	answer.Body = append(body, core.JSON[done:]...)
	if missing != "" {
		answer.Outcome = Outcome{Disposition: Degraded, Reason: missing}
		return answer
	}
	answer.ETag = entityTag(answer.Body)
	return answer
}

// composeWithout is the answer without a core.
func (r *Rule) composeWithout(core Core, found Found) Answer {
	failed := r.failures(nil, nil, 0, found)
	errs := []error{core.Err}
	var missing Reason
	have := false
	for source, reason := range failed {
		errs = append(errs, found.of(source, 0).Err)
		have = have || reason == ""
		if missing == "" {
			missing = reason
		}
	}
	answer := Answer{Outcome: Outcome{Degraded, core.Failed, missing}, Err: errors.Join(errs...)}
	if !have {
		answer.Status, answer.Body = 503, r.Unavailable()
		return answer
	}
	answer.Status = 200
	answer.Body = r.appendTail(append(r.head(), "null"...), true, 0, found, failed)
	return answer
}

// Unavailable is the body of the 503 that says that nothing is to be had.
func (r *Rule) Unavailable() []byte {
	return append(appendQuoted([]byte(`{"detail":`), r.Messages.BothFailed), '}')
}

// Frame returns what stands around a core to which no extension is to be had, in ShapeComposite.
func (r *Rule) Frame() (head, tail []byte) {
	none, failed := Found{bySource: make([][]Extension, len(r.Sources))}, make([]Reason, len(r.Sources))
	for i := range failed {
		failed[i] = ExtensionFailed
	}
	return r.head(), r.appendTail(nil, false, 0, none, failed)
}

func (r *Rule) head() []byte { return append(appendQuoted([]byte{'{'}, r.Members.Core), ':') }

// failures says of each source why there is no extension of a core; a reason is empty if there is one. If the core is
// another one's, it is withheld. u is nil if there is no core.
func (r *Rule) failures(params []Value, u *unit, i int, found Found) []Reason {
	reasons := make([]Reason, len(r.Sources))
	mismatch := u != nil && !r.belongs(u, params)
	for source := range r.Sources {
		if reasons[source] = failure(found.of(source, i).Err); mismatch {
			reasons[source] = KeyMismatch
		}
	}
	return reasons
}

// appendUnit appends a core with its extensions.
func (r *Rule) appendUnit(dst, text []byte, u *unit, i int, found Found, failed []Reason) []byte {
	if r.Shape == ShapeComposite {
		dst = append(append(dst, r.head()...), text[u.start:u.end]...)
		return r.appendTail(dst, false, i, found, failed)
	}
	dst = append(dst, text[u.start:u.insert]...)
	first := u.empty
	for source, s := range r.Sources {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(appendQuoted(dst, s.Name), ':')
		dst = appendExtension(dst, found.of(source, i), failed[source])
	}
	if hasFailure(failed) {
		dst = append(appendQuoted(append(dst, ','), r.Members.Errors), ':')
		dst = r.appendErrors(dst, false, failed)
	}
	return append(dst, text[u.insert:u.end]...)
}

func hasFailure(failed []Reason) bool {
	for _, reason := range failed {
		if reason != "" {
			return true
		}
	}
	return false
}

// appendTail appends what follows the core in a composite.
func (r *Rule) appendTail(dst []byte, coreFailed bool, i int, found Found, failed []Reason) []byte {
	for source, s := range r.Sources {
		dst = append(appendQuoted(append(dst, ','), s.Name), ':')
		dst = appendExtension(dst, found.of(source, i), failed[source])
	}
	dst = append(appendQuoted(append(dst, ','), r.Members.Errors), ':')
	return append(r.appendErrors(dst, coreFailed, failed), '}')
}

func appendExtension(dst []byte, ext Extension, failed Reason) []byte {
	if failed != "" {
		return append(dst, "null"...)
	}
	return append(dst, ext.JSON...)
}

func (r *Rule) appendErrors(dst []byte, coreFailed bool, failed []Reason) []byte {
	dst = append(dst, '[')
	first := true
	add := func(message string) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendQuoted(dst, message)
	}
	if coreFailed {
		add(r.Messages.CoreFailed)
	}
	for source, reason := range failed {
		if reason != "" {
			add(r.Sources[source].Failed)
		}
	}
	return append(dst, ']')
}

// failure names the error of a read; it is empty if there is none.
func failure(err error) Reason {
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

// appendQuoted appends a string of the rules, which is valid UTF-8, as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
