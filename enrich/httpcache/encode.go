package httpcache

import (
	"encoding/binary"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"
)

// encoding is the first byte of an encoded Entry. Another encoding of entries gets another one.
const encoding = 1

// ErrEncoding says that bytes are not an Entry of this version of weft.
var ErrEncoding = errors.New("not an encoded entry")

// Encode returns e as bytes; nil if e is empty. Equal entries have equal bytes.
//
// It is not JSON, because header values need not be UTF-8, and an entry is decoded for each request that uses it.
func Encode(e Entry) []byte {
	if len(e.Responses) == 0 && e.Since.IsZero() {
		return nil
	}
	b := []byte{encoding}
	b = appendTime(b, e.Since)
	b = binary.AppendUvarint(b, uint64(len(e.Responses)))
	for _, r := range e.Responses {
		b = binary.AppendUvarint(b, uint64(r.Status))
		b = appendTime(b, r.Requested)
		b = appendTime(b, r.Received)
		b = appendBool(b, r.IsParty)
		b = appendBool(b, r.IsOutdated)
		b = appendHeader(b, r.Header)
		b = appendHeader(b, r.Vary)
		b = appendString(b, string(r.Body))
	}
	return b
}

// Decode returns the Entry that Encode encoded; an empty one for no bytes. Bodies share memory with b.
func Decode(b []byte) (Entry, error) {
	if len(b) == 0 {
		return Entry{}, nil
	}
	if b[0] != encoding {
		return Entry{}, ErrEncoding
	}
	d := decoder{rest: b[1:]}
	e := Entry{Since: d.time()}
	for n := d.count(); n > 0 && !d.failed; n-- {
		e.Responses = append(e.Responses, Response{
			Status:    int(d.uint()),
			Requested: d.time(),
			Received:  d.time(),
			IsParty:   d.bool(),

			IsOutdated: d.bool(),
			Header:     d.header(),
			Vary:       d.header(),
			Body:       d.bytes(),
		})
	}
	if d.failed || len(d.rest) > 0 {
		return Entry{}, ErrEncoding
	}
	return e, nil
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(b, 0)
	}
	return binary.AppendVarint(b, t.UnixNano())
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendHeader(b []byte, h http.Header) []byte {
	b = binary.AppendUvarint(b, uint64(len(h)))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		b = appendString(b, name)
		b = binary.AppendUvarint(b, uint64(len(h[name])))
		for _, value := range h[name] {
			b = appendString(b, value)
		}
	}
	return b
}

// decoder decodes from rest. After a failure it returns zero values.
type decoder struct {
	rest   []byte
	failed bool
}

func (d *decoder) fail() { d.failed, d.rest = true, nil }

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// count returns a number of elements or bytes that follow. More than there are bytes is a failure.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.fail()
		return 0
	}
	return int(n) //nolint:gosec // at most the length of a slice
}

func (d *decoder) time() time.Time {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return time.Time{}
	}
	d.rest = d.rest[n:]
	if v == 0 {
		return time.Time{}
	}
	return time.Unix(0, v).UTC()
}

func (d *decoder) bool() bool { return d.uint() != 0 }

func (d *decoder) bytes() []byte {
	n := d.count()
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

func (d *decoder) header() http.Header {
	h := http.Header{}
	for range d.count() {
		name := string(d.bytes())
		var values []string
		for range d.count() {
			values = append(values, string(d.bytes()))
		}
		h[name] = values
	}
	return h
}
