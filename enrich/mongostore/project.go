package mongostore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// appendExtension appends the extension for a document that MongoDB found for a key: each field of src in turn,
// validated and converted, or its default if the document lacks it.
func appendExtension(dst []byte, src *enrich.Source, key enrich.Key, doc bson.Raw) ([]byte, error) {
	var buffer [8]element // for most documents
	d, err := parse(buffer[:0], doc)
	if err != nil {
		return nil, err
	}
	for i, c := range src.Where {
		v, found, err := d.lookup(c.Field)
		got, isKey := asValue(v, key[i].Type)
		switch {
		case err != nil:
			return nil, err
		case !found:
			return nil, fmt.Errorf("field %q equals the key, but is in an array: %w", c.Field, enrich.ErrWrongType)
		case !isKey || got != key[i]:
			return nil, fmt.Errorf("field %q equals the key, but is a %s: %w", c.Field, v.Type, enrich.ErrWrongType)
		}
	}
	dst = append(dst, '{')
	for i, f := range src.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = jsontext.AppendQuote(dst, f.Name); err != nil {
			return nil, err
		}
		dst = append(dst, ':')
		value, found, err := d.lookup(f.Path)
		switch {
		case err != nil:
			return nil, err
		case found:
			dst, err = appendField(dst, f.Type, value)
			if err != nil && !errors.Is(err, enrich.ErrWrongType) {
				err = fmt.Errorf("%w: %w", enrich.ErrWrongType, err) // not UTF-8, for example
			}
			if err != nil {
				return nil, fmt.Errorf("field %q: %w", f.Path, err)
			}
		case f.Default == "":
			return nil, fmt.Errorf("field %q is missing and has no default: %w", f.Path, enrich.ErrWrongType)
		default:
			dst = append(dst, f.Default...)
		}
	}
	return append(dst, '}'), nil
}

// document has the elements of a BSON document, parsed once for the lookups of all fields.
type document []element

type element struct {
	key   []byte
	value bson.RawValue
}

// parse appends the elements of the first level of a document to d.
func parse(d document, doc bson.Raw) (document, error) {
	e := elementsOf(doc)
	for e.next() {
		d = append(d, element{e.key, e.value})
	}
	return d, e.err
}

// lookup returns the value at a dotted path, through documents but not through arrays. Of duplicate names, the last one
// counts, as in drivers.
func (d document) lookup(path string) (value bson.RawValue, found bool, err error) {
	name, rest, isNested := strings.Cut(path, ".")
	for _, e := range slices.Backward(d) {
		if string(e.key) != name {
			continue
		}
		if !isNested {
			return e.value, true, nil
		}
		if e.value.Type != bson.TypeEmbeddedDocument {
			return bson.RawValue{}, false, nil
		}
		inner, err := parse(nil, e.value.Value)
		if err != nil {
			return bson.RawValue{}, false, err
		}
		return inner.lookup(rest)
	}
	return bson.RawValue{}, false, nil
}

// appendField appends v as a value of type t. If v does not have the type, the error wraps [enrich.ErrWrongType].
func appendField(dst []byte, t enrich.Type, v bson.RawValue) ([]byte, error) {
	fits := false
	switch t {
	case enrich.Int64:
		if n, ok := asInt64(v); ok {
			return strconv.AppendInt(dst, n, 10), nil
		}
	case enrich.Number:
		if dst, ok := appendNumber(dst, v); ok {
			return dst, nil
		}
	case enrich.String:
		if s, ok := asString(v); ok {
			return appendString(dst, s)
		}
	case enrich.Strings:
		if v.Type == bson.TypeArray {
			return appendStrings(dst, v)
		}
	case enrich.UUID, enrich.UUIDCSharp, enrich.UUIDJava, enrich.UUIDPython:
		if dst, ok := appendUUID(append(dst, '"'), t, v); ok {
			return append(dst, '"'), nil
		}
	case enrich.Decimal:
		if n, ok := asInt64(v); ok {
			return append(strconv.AppendInt(append(dst, '"'), n, 10), '"'), nil
		}
		fits = v.Type == bson.TypeDecimal128
	case enrich.Bool:
		fits = v.Type == bson.TypeBoolean
	case enrich.Date:
		fits = v.Type == bson.TypeDateTime
	case enrich.ObjectID:
		fits = v.Type == bson.TypeObjectID
	case enrich.Array:
		fits = v.Type == bson.TypeArray
	case enrich.Object:
		fits = v.Type == bson.TypeEmbeddedDocument
	case enrich.Any:
		fits = true
	}
	if !fits {
		return nil, fmt.Errorf("%w: %s", enrich.ErrWrongType, v.Type)
	}
	return appendValue(dst, v, 0)
}

// appendStrings appends an array of which every element must be a string.
func appendStrings(dst []byte, array bson.RawValue) ([]byte, error) {
	dst = append(dst, '[')
	e := elementsOf(array.Value)
	for first := true; e.next(); first = false {
		s, ok := asString(e.value)
		if !ok {
			return nil, fmt.Errorf("%w: element %s: %s", enrich.ErrWrongType, e.key, e.value.Type)
		}
		if !first {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = appendString(dst, s); err != nil {
			return nil, err
		}
	}
	return append(dst, ']'), e.err
}

// asString returns the text of a string, of JavaScript code or of a symbol (deprecated).
func asString(v bson.RawValue) (s string, ok bool) {
	switch v.Type {
	case bson.TypeString:
		return v.StringValueOK()
	case bson.TypeSymbol:
		return v.SymbolOK()
	case bson.TypeJavaScript:
		return v.JavaScriptOK()
	case bson.TypeCodeWithScope:
		s, _, ok = v.CodeWithScopeOK()
		return s, ok
	}
	return "", false
}
