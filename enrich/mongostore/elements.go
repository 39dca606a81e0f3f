package mongostore

import (
	"bytes"
	"encoding/binary"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
)

var errMalformed = errors.New("malformed BSON")

// elements iterates over the elements of a BSON document or array. [bson.Raw.Elements] does, too, but it allocates, and
// it validates all levels below each time that it is called.
//
//	e := elementsOf(doc)
//	for e.next() {
//		… e.key, e.value
//	}
//	return e.err
type elements struct {
	key   []byte
	value bson.RawValue
	err   error // errMalformed if the document is

	rest []byte // of the document
}

func elementsOf(doc []byte) elements {
	last := len(doc) - 1
	if last < 4 || doc[last] != 0 || binary.LittleEndian.Uint32(doc) != uint32(len(doc)) {
		return elements{err: errMalformed}
	}
	return elements{rest: doc[4:last]}
}

// next reads the next element, and reports whether there is one: a type byte, a key that ends with a zero byte, a value
// (bsonspec.org).
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
