package mongostore

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// maxDepth is the maximum nesting depth of a document. MongoDB stores at most 100.
const maxDepth = 1000

// appendValue appends a BSON value of any type as JSON. A type that JSON lacks becomes a string: a date in ISO 8601 and
// UTC, an ObjectId in hexadecimal, a UUID (subtype 4) in canonical form, other binary in base64, a Decimal128 with all
// its digits, code and symbols as their text. NaN and the infinities become null. All other types are written as
// relaxed MongoDB Extended JSON v2.
func appendValue(dst []byte, v bson.RawValue, depth int) ([]byte, error) {
	if s, ok := asString(v); ok {
		return appendString(dst, s)
	}
	if v.Type == bson.TypeEmbeddedDocument || v.Type == bson.TypeArray {
		return appendContainer(dst, v, depth)
	}
	if v.Validate() != nil { // the methods of values that are not valid panic
		return nil, errMalformed
	}
	switch v.Type {
	case bson.TypeDouble:
		return appendDouble(dst, v.Double()), nil
	case bson.TypeInt32:
		return strconv.AppendInt(dst, int64(v.Int32()), 10), nil
	case bson.TypeInt64:
		return strconv.AppendInt(dst, v.Int64(), 10), nil
	case bson.TypeBoolean:
		return strconv.AppendBool(dst, v.Boolean()), nil
	case bson.TypeNull, bson.TypeUndefined:
		return append(dst, "null"...), nil
	case bson.TypeDateTime:
		return append(appendDate(append(dst, '"'), v.DateTime()), '"'), nil
	case bson.TypeObjectID:
		id := v.ObjectID()
		return append(hex.AppendEncode(append(dst, '"'), id[:]), '"'), nil
	case bson.TypeBinary:
		dst, isUUID := appendUUID(append(dst, '"'), enrich.UUID, v)
		if !isUUID {
			_, data := v.Binary()
			dst = base64.StdEncoding.AppendEncode(dst, data)
		}
		return append(dst, '"'), nil
	case bson.TypeDecimal128:
		return appendString(dst, v.Decimal128().String())
	case bson.TypeTimestamp:
		t, i := v.Timestamp()
		return fmt.Appendf(dst, `{"$timestamp":{"t":%d,"i":%d}}`, t, i), nil
	case bson.TypeRegex:
		return appendRegex(dst, v)
	case bson.TypeDBPointer:
		return appendDBPointer(dst, v)
	case bson.TypeMinKey:
		return append(dst, `{"$minKey":1}`...), nil
	case bson.TypeMaxKey:
		return append(dst, `{"$maxKey":1}`...), nil
	default:
		return nil, errMalformed
	}
}

func appendContainer(dst []byte, v bson.RawValue, depth int) ([]byte, error) {
	if depth >= maxDepth {
		return nil, errors.New("BSON is nested too deep")
	}
	opening, closing, named := byte('{'), byte('}'), true
	if v.Type == bson.TypeArray {
		opening, closing, named = '[', ']', false
	}
	dst = append(dst, opening)
	e := elementsOf(v.Value)
	for first := true; e.next(); first = false {
		if !first {
			dst = append(dst, ',')
		}
		var err error
		if named {
			if dst, err = appendString(dst, e.key); err != nil {
				return nil, err
			}
			dst = append(dst, ':')
		}
		if dst, err = appendValue(dst, e.value, depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, closing), e.err
}

// appendString appends s as a JSON string. It fails if s is not UTF-8, which MongoDB does not validate.
func appendString[text []byte | string](dst []byte, s text) ([]byte, error) {
	dst, err := jsontext.AppendQuote(dst, s)
	if err != nil {
		return nil, errors.New("string is not UTF-8")
	}
	return dst, nil
}

// appendDate appends a time in milliseconds since 1970 in ISO 8601, with milliseconds if they are not zero. Years
// outside 0000–9999 have a sign and at least six digits, as in ECMAScript.
func appendDate(dst []byte, ms int64) []byte {
	t := time.UnixMilli(ms).UTC()
	layout := "2006-01-02T15:04:05.000Z"
	if year := t.Year(); year < 0 || year > 9999 {
		dst = fmt.Appendf(dst, "%+07d", year)
		layout = layout[len("2006"):]
	}
	if t.Nanosecond() == 0 {
		layout = layout[:len(layout)-len(".000Z")] + "Z"
	}
	return t.AppendFormat(dst, layout)
}

func appendRegex(dst []byte, v bson.RawValue) ([]byte, error) {
	pattern, options := v.Regex()
	dst, err := appendString(append(dst, `{"$regularExpression":{"pattern":`...), pattern)
	if err != nil {
		return nil, err
	}
	sorted := []byte(options) // as in Extended JSON
	slices.Sort(sorted)
	if dst, err = appendString(append(dst, `,"options":`...), string(sorted)); err != nil {
		return nil, err
	}
	return append(dst, "}}"...), nil
}

func appendDBPointer(dst []byte, v bson.RawValue) ([]byte, error) {
	ref, id := v.DBPointer()
	dst, err := appendString(append(dst, `{"$dbPointer":{"$ref":`...), ref)
	if err != nil {
		return nil, err
	}
	dst = hex.AppendEncode(append(dst, `,"$id":{"$oid":"`...), id[:])
	return append(dst, `"}}}`...), nil
}
