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

var errTooLarge = errors.New("body over the limit")

// decoderOf returns the decoder for a content encoding (RFC 9110, section 8.4.1); nil for identity. ok is false if the
// encoding is not supported.
func decoderOf(contentEncoding string) (decoder func(io.Reader) (io.Reader, error), ok bool) {
	switch strings.ToLower(contentEncoding) {
	case "", "identity":
		return nil, true
	case "gzip", "x-gzip":
		return func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }, true
	case "deflate":
		return newDeflateReader, true
	default:
		return nil, false
	}
}

// decode removes a supported content encoding. weft requests identity, but some services ignore that. It returns
// errTooLarge if the body or the result exceeds limit bytes.
func decode(body []byte, contentEncoding string, limit int) ([]byte, error) {
	if len(body) > limit {
		return nil, errTooLarge
	}
	if decoder, _ := decoderOf(contentEncoding); decoder != nil {
		r, err := decoder(bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		if body, err = io.ReadAll(io.LimitReader(r, int64(limit)+1)); err != nil {
			return nil, err
		}
	}
	if len(body) > limit {
		return nil, errTooLarge
	}
	return body, nil
}

// newDeflateReader returns a reader for the zlib format, which RFC 9110 requires, or for raw deflate, which some
// services send.
func newDeflateReader(r io.Reader) (io.Reader, error) {
	br := bufio.NewReader(r)
	if head, err := br.Peek(2); err == nil && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(br)
	}
	return flate.NewReader(br), nil
}
