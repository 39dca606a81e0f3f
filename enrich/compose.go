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
	ETag    string // entity tag of a composite with both halves; empty for other answers
	Outcome Outcome
	Err     error // what stood behind the outcome, of the core or the store; nil if nothing did
}

const compositeHead = `{"core":`

// Compose joins the two halves. Core and extension are spliced as they are; the result is valid JSON if both are.
// It is 200 if at least one of them is there.
func (r *Rule) Compose(key int64, core Core, ext Extension) Answer {
	extFailed := r.extensionFailure(key, core, ext)
	if core.Failed != "" && extFailed != "" {
		body := append(appendQuoted([]byte(`{"detail":`), r.Messages.BothFailed), '}')
		return Answer{Status: 503, Body: body, Outcome: Outcome{Degraded, core.Failed, extFailed}, Err: errors.Join(core.Err, ext.Err)}
	}
	body := make([]byte, 0, len(core.JSON)+len(ext.JSON)+200) // of 200, the frame and a message take about half
	body = append(body, compositeHead...)
	if core.Failed != "" {
		body = append(body, "null"...)
	} else {
		body = append(body, core.JSON...)
	}
	answer := Answer{
		Status:  200,
		Body:    r.appendTail(body, core.Failed, extFailed, ext),
		Outcome: Outcome{Disposition: Composed},
		Err:     errors.Join(core.Err, ext.Err),
	}
	if reason := core.Failed + extFailed; reason != "" { // one of them at most
		answer.Outcome = Outcome{Disposition: Degraded, Reason: reason}
		return answer
	}
	answer.ETag = entityTag(answer.Body)
	return answer
}

// extensionFailure says why there is no extension; it is empty if there is one. If the core is another one's, it is
// withheld.
func (r *Rule) extensionFailure(key int64, core Core, ext Extension) Reason {
	if core.Failed == "" && (!core.HasKey || core.Key != key) {
		return KeyMismatch
	}
	return failure(ext.Err)
}

// appendTail appends what follows the core in a composite.
func (r *Rule) appendTail(dst []byte, coreFailed, extFailed Reason, ext Extension) []byte {
	dst = append(dst, `,"extension":`...)
	if extFailed != "" {
		dst = append(dst, "null"...)
	} else {
		dst = append(dst, ext.JSON...)
	}
	dst = append(dst, `,"errors":[`...)
	switch {
	case coreFailed != "":
		dst = appendQuoted(dst, r.Messages.CoreFailed)
	case extFailed != "":
		dst = appendQuoted(dst, r.Messages.ExtensionFailed)
	}
	return append(dst, `]}`...)
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
	default:
		return ExtensionFailed
	}
}

// appendQuoted appends a string of the rules, which is valid UTF-8, as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
