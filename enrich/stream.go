package enrich

import (
	"bufio"
	"bytes"
	"io"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// An answer whose core is too large to hold is streamed: the prefix, the core as it passes, the suffix. Its headers are
// sent before the core is known to be valid.

// StreamHeaders returns how the headers of a streamed answer differ from those of the legacy response. The status is the
// same.
func (r *Rule) StreamHeaders(found Found) Headers {
	reason, _ := r.parts(nil, nil, 0, found).firstMissing()
	return Headers{
		Remove: append(legacyBodyHeaderNames(), "content-length"),
		Set: []Header{
			{"content-type", r.ContentType},
			{"cache-control", "no-store"}, // the core can still fail
			Outcome{Disposition: Streamed, Reason: reason}.Header(),
		},
	}
}

// StreamPrefix returns what the client gets before the core, and the start of the core without a byte order mark.
func (r *Rule) StreamPrefix(start []byte) (prefix, rest []byte) {
	return r.shape().head(nil, r), bytes.TrimPrefix(start, []byte(ByteOrderMark))
}

// StreamSuffix returns what follows the core: the extensions, unless the core belongs to another key than the request.
// The error is that of the first missing extension.
func (r *Rule) StreamSuffix(params []Value, core Core, found Found) ([]byte, Outcome, error) {
	p := r.parts(params, &core.units[0], 0, found)
	reason, err := p.firstMissing()
	return r.shape().tail(nil, p), Outcome{Disposition: Streamed, Reason: reason}, err
}

// CheckCore validates a core of any size as ParseCore does, in constant memory. The result has no JSON. It reads body
// to its end, or to the first error.
func (r *Rule) CheckCore(body io.Reader) Core {
	in := bufio.NewReader(body)
	if start, _ := in.Peek(len(ByteOrderMark)); string(start) == ByteOrderMark {
		_, _ = in.Discard(len(ByteOrderMark))
	}
	units, err := r.parseUnits(&shortener{in: transform.NewReader(in, encoding.UTF8Validator)})
	if err != nil {
		return Core{Failed: CoreInvalid, Err: err}
	}
	return Core{units: units}
}

// shortener reads JSON and leaves out most of the inside of long strings: a tokenizer holds at least one token. This
// hides nothing that a tokenizer checks except the encoding, so in must be UTF-8.
type shortener struct {
	in       io.Reader
	inString bool
	escape   int // 1 after the backslash of an escape; negative: digits of \uXXXX that are still to come
	length   int // bytes of the string so far
}

// keep is how many bytes of a string are left in: more than the names of members that rules ask for.
const keep = 256

func (s *shortener) Read(p []byte) (int, error) {
	for {
		n, err := s.in.Read(p)
		kept := p[:0]
		for _, c := range p[:n] {
			if s.keeps(c) {
				kept = append(kept, c)
			}
		}
		if len(kept) > 0 || err != nil {
			return len(kept), err
		}
	}
}

// keeps tracks the strings, and reports whether a byte stays. Quotes, escapes and control characters do.
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
