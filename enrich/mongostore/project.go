package mongostore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// appendExtension appends the extension that src makes of a document that MongoDB found for a key: each field in turn,
// checked and converted, or its default where the document lacks it.
func appendExtension(dst []byte, src *enrich.Source, key enrich.Key, doc []byte) ([]byte, error) {
	for i, c := range src.Where {
		v, found, err := lookup(doc, c.Field)
		switch {
		case err != nil:
			return nil, err
		case !found:
			return nil, fmt.Errorf("field %q equals the key, but inside of an array: %w", c.Field, enrich.ErrWrongType)
		}
		if got, ok := asValue(v); !ok || got != key[i] {
			return nil, fmt.Errorf("field %q equals the key, but is a %s: %w", c.Field, v.Type, enrich.ErrWrongType)
		}
	}
	dst = append(dst, '{')
	for i, f := range src.Fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = jsontext.AppendQuote(dst, f.Name); err != nil {
			return nil, err
		}
		dst = append(dst, ':')
		value, found, err := lookup(doc, f.Path)
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
			return nil, fmt.Errorf("field %q is missing, and has no default: %w", f.Path, enrich.ErrWrongType)
		default:
			dst = append(dst, f.Default...)
		}
	}
	return append(dst, '}'), nil
}

// lookup returns the value at a path with dots, through documents but not through arrays. Where a document has a name
// twice, drivers keep the last.
func lookup(doc []byte, path string) (value bson.RawValue, found bool, err error) {
	name, rest, nested := strings.Cut(path, ".")
	err = eachElement(doc, func(key string, v bson.RawValue) error {
		if key == name {
			value, found = v, true
		}
		return nil
	})
	if err != nil || !found || !nested {
		return value, found, err
	}
	if value.Type != bson.TypeEmbeddedDocument {
		return bson.RawValue{}, false, nil
	}
	return lookup(value.Value, rest)
}

// appendField appends v as a value of type t. The error wraps [enrich.ErrWrongType] if it is none.
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
	case enrich.UUID:
		subtype, data, ok := v.BinaryOK()
		fits = ok && subtype == bson.TypeBinaryUUID && len(data) == 16
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
	first := true
	err := eachElement(array.Value, func(index string, v bson.RawValue) (err error) {
		s, ok := asString(v)
		if !ok {
			return fmt.Errorf("%w: element %s: %s", enrich.ErrWrongType, index, v.Type)
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst, err = appendString(dst, s)
		return err
	})
	return append(dst, ']'), err
}

// asString takes strings, and the types that are a string with another tag: symbol (deprecated) and JavaScript code.
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
