package enrich

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
)

var errTooLarge = errors.New("body is over the limit")

// canDecode reports whether decode knows a content encoding (RFC 9110, section 8.4.1).
func canDecode(contentEncoding string) bool {
	switch strings.ToLower(contentEncoding) {
	case "", "identity", "gzip", "x-gzip", "deflate":
		return true
	}
	return false
}

func isIdentity(contentEncoding string) bool {
	return contentEncoding == "" || strings.EqualFold(contentEncoding, "identity")
}

// decode undoes the content encoding of a body. weft asks for identity, but not every service listens. It returns
// errTooLarge once more than limit bytes have come out.
func decode(body []byte, contentEncoding string, limit int) ([]byte, error) {
	var r io.Reader
	var err error
	switch strings.ToLower(contentEncoding) {
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		r, err = newDeflateReader(body)
	default:
		if len(body) > limit {
			return nil, errTooLarge
		}
		return body, nil
	}
	if err != nil {
		return nil, err
	}
	body, err = io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if len(body) > limit {
		return nil, errTooLarge
	}
	return body, err
}

// newDeflateReader reads the zlib format, as RFC 9110 asks for, and the bare one, as some services send.
func newDeflateReader(body []byte) (io.Reader, error) {
	br := bufio.NewReader(bytes.NewReader(body))
	if head, err := br.Peek(2); err == nil && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(br)
	}
	return flate.NewReader(br), nil
}
