package enrich

import (
	"bufio"
	"bytes"
	"io"

	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// If a core is too large to buffer, the response is streamed: a prefix, the core, a suffix. The headers are sent before
// the core is validated.

// StreamHeaders returns the mutation of the legacy response headers for a streamed response. The status does not
// change.
func (r *Rule) StreamHeaders(found Found) Headers {
	reason, isStale, _ := r.parts(nil, nil, 0, found).failure()
	return Headers{
		Remove: append(legacyBodyHeaders, "content-length"),
		Set: []Header{
			{"content-type", r.ContentType},
			{"cache-control", "no-store"}, // the core may be invalid
			Outcome{Disposition: Streamed, Reason: reason, Stale: isStale}.Header(),
		},
	}
}

// StreamPrefix returns the bytes before the core, and the start of the core without a byte order mark.
func (r *Rule) StreamPrefix(start []byte) (prefix, rest []byte) {
	return r.shape().head(nil, r), bytes.TrimPrefix(start, []byte(ByteOrderMark))
}

// StreamSuffix returns the bytes after the core: the extensions, or null if the core belongs to another key than the
// request. The error is that of the first missing extension.
func (r *Rule) StreamSuffix(params []Value, core Core, found Found) ([]byte, Outcome, error) {
	p := r.parts(params, &core.units[0], 0, found)
	reason, isStale, err := p.failure()
	return r.shape().tail(nil, p), Outcome{Disposition: Streamed, Reason: reason, Stale: isStale}, err
}

// CheckCore validates a core of any size like [Rule.ParseCore], in constant memory. The result has no JSON. It reads
// body to the end or the first error.
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

// shortener reads JSON and shortens long strings, because a tokenizer buffers whole tokens. Except for the encoding,
// this hides nothing that a tokenizer checks, so in must be UTF-8.
type shortener struct {
	in       io.Reader
	inString bool
	escape   int // 1 after a backslash; negative: the number of digits of \uXXXX that follow
	length   int // bytes of the string so far
}

// keep is the number of bytes of a string that are kept: more than the names of members in rules have.
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

// keeps tracks strings and reports whether a byte is kept. Quotes, escapes and control characters are.
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
