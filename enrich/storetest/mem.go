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

// Mem is a Store of documents in memory: JSON objects, in the order in which a read finds them, of one collection. Its
// types are those of JSON. The zero value is empty.
type Mem []string

var _ enrich.Store = Mem(nil)

// Find implements [enrich.Store].
func (m Mem) Find(ctx context.Context, src *enrich.Source, key int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, doc := range m {
		var fields map[string]jsontext.Value
		if err := json.Unmarshal([]byte(doc), &fields); err != nil {
			return nil, fmt.Errorf("document %s: %w", doc, err)
		}
		if n, err := strconv.ParseFloat(string(fields[src.Key]), 64); err == nil && n == float64(key) {
			return project(src, key, fields)
		}
	}
	return nil, enrich.ErrNotFound
}

func project(src *enrich.Source, key int64, fields map[string]jsontext.Value) ([]byte, error) {
	out := []byte{'{'}
	for i, f := range src.Fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(strconv.AppendQuote(out, f.Name), ':')
		value, found := fields[f.Name]
		switch {
		case f.Name == src.Key:
			out = strconv.AppendInt(out, key, 10)
		case !found:
			out = append(out, f.Default...)
		case !is(value, f.Type):
			return nil, fmt.Errorf("field %q: %w", f.Name, enrich.ErrWrongType)
		case f.Type == enrich.Number && !strings.ContainsAny(string(value), ".eE"):
			out = append(append(out, value...), ".0"...)
		default:
			out = append(out, value...)
		}
	}
	return append(out, '}'), nil
}

func is(v jsontext.Value, t enrich.Type) bool {
	switch t {
	case enrich.Int64:
		f, err := strconv.ParseFloat(string(v), 64)
		return err == nil && f == math.Trunc(f)
	case enrich.Number:
		return v.Kind() == '0'
	case enrich.String:
		return v.Kind() == '"'
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

// canonical spells each string of a text in one way, and leaves out white space.
func canonical(t *testing.T, text string) string {
	t.Helper()
	v := jsontext.Value(text)
	if err := v.Format(jsontext.CanonicalizeRawInts(false), jsontext.PreserveRawStrings(false)); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return string(v)
}
