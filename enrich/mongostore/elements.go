package mongostore

import (
	"bytes"
	"encoding/binary"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
)

var errMalformed = errors.New("malformed BSON")

// elements iterates over the elements of a BSON document or array. Unlike [bson.Raw.Elements], it does not allocate,
// and does not validate nested documents.
//
//	e := elementsOf(doc)
//	for e.next() {
//		… e.key, e.value
//	}
//	return e.err
type elements struct {
	key   []byte
	value bson.RawValue
	err   error // errMalformed if the document is malformed

	rest []byte // of the document
}

func elementsOf(doc []byte) elements {
	last := len(doc) - 1
	if last < 4 || doc[last] != 0 || binary.LittleEndian.Uint32(doc) != uint32(len(doc)) {
		return elements{err: errMalformed}
	}
	return elements{rest: doc[4:last]}
}

// next reads the next element, and reports whether there is one. An element is a type byte, a zero-terminated key and a
// value (bsonspec.org).
func (e *elements) next() bool {
	if len(e.rest) == 0 || e.err != nil {
		return false
	}
	end := 1 + bytes.IndexByte(e.rest[1:], 0)
	value, err := bson.RawElement(e.rest).ValueErr() // ignores what follows the value
	if err != nil {
		e.err = errMalformed
		return false
	}
	e.key, e.value = e.rest[1:end], value
	e.rest = e.rest[end+1+len(value.Value):]
	return true
}
