package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"weft/enrich"
)

// Mem is an in-memory Store of one collection: JSON objects in read order. Its types are those of JSON. The zero value
// is empty.
type Mem []string

var _ enrich.Store = Mem(nil)

// Find implements [enrich.Store].
func (m Mem) Find(_ context.Context, src *enrich.Source, keys []enrich.Key) []enrich.Extension {
	found := make([]enrich.Extension, len(keys))
	for i, key := range keys {
		found[i].JSON, found[i].Err = m.find(src, key)
	}
	return found
}

func (m Mem) find(src *enrich.Source, key enrich.Key) ([]byte, error) {
	for _, doc := range m {
		if !json.Valid([]byte(doc)) {
			return nil, fmt.Errorf("document %s is not JSON", doc)
		}
		meets := true
		for i, c := range src.Where {
			meets = meets && equal(at(doc, c.Field), key[i])
		}
		if meets {
			return project(src, key, doc)
		}
	}
	return nil, enrich.ErrNotFound
}

// at returns the value at a dotted path, or nil.
func at(doc, path string) jsontext.Value {
	name, rest, nested := strings.Cut(path, ".")
	var fields map[string]jsontext.Value
	if json.Unmarshal([]byte(doc), &fields) != nil || !nested {
		return fields[name]
	}
	return at(string(fields[name]), rest)
}

func equal(v jsontext.Value, key enrich.Value) bool {
	switch {
	case v == nil:
		return false
	case key.Type == enrich.Int64:
		n, ok := integer(v)
		return ok && n == key.Int
	case key.Type == enrich.Bool:
		return string(v) == key.String()
	default:
		var s string
		return json.Unmarshal(v, &s) == nil && v.Kind() == '"' && s == key.Text
	}
}

// integer returns the value of a number in any notation, and whether it is an integer.
func integer(v jsontext.Value) (int64, bool) {
	if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(string(v), 64)
	return int64(f), err == nil && f == math.Trunc(f) && f >= math.MinInt64 && f < math.MaxInt64
}

func project(src *enrich.Source, key enrich.Key, doc string) ([]byte, error) {
	out := []byte{'{'}
	for i, f := range src.Fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(strconv.AppendQuote(out, f.Name), ':')
		value := at(doc, f.Path)
		known, isKey := src.KeyOf(f, key)
		switch {
		case isKey && known.Type == enrich.Int64:
			out = strconv.AppendInt(out, known.Int, 10)
		case value == nil && f.Default == "":
			return nil, fmt.Errorf("field %q is missing: %w", f.Path, enrich.ErrWrongType)
		case value == nil:
			out = append(out, f.Default...)
		case !is(value, f.Type):
			return nil, fmt.Errorf("field %q: %w", f.Path, enrich.ErrWrongType)
		case f.Type == enrich.Number && isDoubleInteger(value):
			out = append(append(out, value...), ".0"...)
		default:
			out = append(out, value...)
		}
	}
	return append(out, '}'), nil
}

// isDoubleInteger reports whether a number is written as an integer and fits a double, up to 2^53. Such an integer is
// returned as a double if the field is a number.
func isDoubleInteger(v jsontext.Value) bool {
	n, err := strconv.ParseInt(string(v), 10, 64)
	return err == nil && -1<<53 <= n && n <= 1<<53
}

func is(v jsontext.Value, t enrich.Type) bool {
	switch t {
	case enrich.Int64:
		_, ok := integer(v)
		return ok
	case enrich.Number:
		return v.Kind() == '0'
	case enrich.String:
		return v.Kind() == '"'
	case enrich.Bool:
		return v.Kind() == 't' || v.Kind() == 'f'
	case enrich.Array:
		return v.Kind() == '['
	case enrich.Any:
		return true
	case enrich.Object:
		return v.Kind() == '{'
	case enrich.Strings:
		var elements []jsontext.Value
		if json.Unmarshal(v, &elements) != nil || elements == nil {
			return false
		}
		for _, e := range elements {
			if e.Kind() != '"' {
				return false
			}
		}
		return true
	}
	return false
}

// canonical returns JSON with canonical strings and without white space.
func canonical(t *testing.T, text string) string {
	t.Helper()
	v := jsontext.Value(text)
	if err := v.Format(jsontext.CanonicalizeRawInts(false), jsontext.PreserveRawStrings(false)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return string(v)
}
