package enrich

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

// A composite whose core is too large to hold is spliced around it while it passes: the prefix before its first byte,
// the suffix after its last. What the head of the answer says is said before the core has been seen.

// StreamHeaders is how the head of a streamed composite differs from the legacy response's. Its status is 200.
func (r *Rule) StreamHeaders(found Found) Headers {
	var reason Reason
	for _, failed := range r.failures(nil, nil, 0, found) {
		if reason == "" {
			reason = failed
		}
	}
	return Headers{
		Remove: append(describeLegacyBody(), "content-length"),
		Set: []Header{
			{"content-type", "application/json"},
			{"cache-control", "no-store"}, // it may yet break off
			Outcome{Disposition: Streamed, Reason: reason}.Header(),
		},
	}
}

// StreamPrefix returns what the client gets before the first chunk of the core, and what of that chunk.
func (r *Rule) StreamPrefix(chunk []byte) (prefix, rest []byte) {
	return r.head(), bytes.TrimPrefix(chunk, []byte(byteOrderMark))
}

// StreamSuffix returns what follows the core: the extensions, unless the core is another one's. The error is that of the
// first that is missing.
func (r *Rule) StreamSuffix(params []Value, core Core, found Found) ([]byte, Outcome, error) {
	failed := r.failures(params, &core.units[0], 0, found)
	outcome := Outcome{Disposition: Streamed}
	var err error
	for source, reason := range failed {
		if reason != "" && outcome.Reason == "" {
			outcome.Reason, err = reason, found.of(source, 0).Err
		}
	}
	return r.appendTail(nil, false, 0, found, failed), outcome, err
}

// CheckCore reads a core of any size and validates it as ParseCore does, in constant memory; the result has no JSON. It
// reads body to its end, or to the first mistake.
func (r *Rule) CheckCore(body io.Reader) Core {
	units, err := r.check(&shortener{in: body, first: true})
	if err != nil {
		return Core{Failed: CoreInvalid, Err: err}
	}
	return Core{units: units}
}

// shortener reads JSON and leaves out most of the inside of long strings, so that a tokenizer, which holds a token at
// least, holds little. That takes nothing from what it can check but the encoding, which is checked here.
type shortener struct {
	in    io.Reader
	first bool // nothing was read yet

	utf8     []byte // the begin of a character that is cut off at the end of what was read
	inString bool
	escape   int // 1 after the backslash of an escape; negative: digits of \uXXXX that are still to come
	length   int // bytes of the string so far
}

// keep is how many bytes of a string are left in: more than the names of members that rules ask for.
const keep = 256

func (s *shortener) Read(p []byte) (int, error) {
	for {
		n, err := s.in.Read(p)
		chunk := p[:n]
		if s.first && n > 0 {
			s.first = false
			chunk = bytes.TrimPrefix(chunk, []byte(byteOrderMark))
		}
		if !s.isUTF8(chunk) || errors.Is(err, io.EOF) && len(s.utf8) > 0 {
			return 0, errNotUTF8
		}
		kept := p[:0]
		for _, c := range chunk {
			if s.keeps(c) {
				kept = append(kept, c)
			}
		}
		if len(kept) > 0 || err != nil {
			return len(kept), err
		}
	}
}

// keeps follows the strings and reports whether a byte is to be left in. Quotes, escapes and control characters are.
func (s *shortener) keeps(c byte) bool {
	switch {
	case !s.inString:
		s.inString, s.length = c == '"', 0
		return true
	case s.escape == 1 && c == 'u': // \uXXXX
		s.escape = -4
		return true
	case s.escape == 1:
		s.escape = 0
		return true
	case s.escape < 0:
		s.escape++
		return true
	case c == '\\':
		s.escape = 1
		return true
	case c == '"':
		s.inString = false
		return true
	}
	s.length++
	return s.length <= keep || c < ' '
}

// isUTF8 checks the next bytes of a text that comes in pieces.
func (s *shortener) isUTF8(chunk []byte) bool {
	for len(s.utf8) > 0 && len(chunk) > 0 {
		s.utf8 = append(s.utf8, chunk[0])
		chunk = chunk[1:]
		if utf8.FullRune(s.utf8) {
			if !utf8.Valid(s.utf8) {
				return false
			}
			s.utf8 = s.utf8[:0]
		}
	}
	// The last character begins in one of the last three bytes, if it is cut off.
	for i := len(chunk) - 1; i >= 0 && i >= len(chunk)-3; i-- {
		if utf8.RuneStart(chunk[i]) {
			if !utf8.FullRune(chunk[i:]) {
				s.utf8 = append(s.utf8, chunk[i:]...)
				chunk = chunk[:i]
			}
			break
		}
	}
	return utf8.Valid(chunk)
}
