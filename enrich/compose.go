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
}

// Compose joins the two halves. Core and extension are spliced as they are; the result is valid JSON if both are.
// It is 200 if at least one of them is there.
func (r *Rule) Compose(key int64, core Core, ext Extension) Answer {
	extFailed := failure(ext.Err)
	if core.Failed == "" && (!core.HasKey || core.Key != key) {
		extFailed = KeyMismatch
	}
	if core.Failed != "" && extFailed != "" {
		body := append(appendQuoted([]byte(`{"detail":`), r.Messages.BothFailed), '}')
		return Answer{Status: 503, Body: body, Outcome: Outcome{Degraded, core.Failed, extFailed}}
	}

	body := make([]byte, 0, len(core.JSON)+len(ext.JSON)+len(`{"core":null,"extension":null,"errors":[""]}`)+
		max(len(r.Messages.CoreFailed), len(r.Messages.ExtensionFailed)))
	outcome := Outcome{Disposition: Composed}
	var message string
	body = append(body, `{"core":`...)
	if core.Failed != "" {
		outcome, message = Outcome{Disposition: Degraded, Reason: core.Failed}, r.Messages.CoreFailed
		body = append(body, "null"...)
	} else {
		body = append(body, core.JSON...)
	}
	body = append(body, `,"extension":`...)
	if extFailed != "" {
		outcome, message = Outcome{Disposition: Degraded, Reason: extFailed}, r.Messages.ExtensionFailed
		body = append(body, "null"...)
	} else {
		body = append(body, ext.JSON...)
	}
	body = append(body, `,"errors":[`...)
	if message != "" {
		body = appendQuoted(body, message)
	}
	answer := Answer{Status: 200, Body: append(body, `]}`...), Outcome: outcome}
	if outcome.Disposition == Composed {
		answer.ETag = entityTag(answer.Body)
	}
	return answer
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
