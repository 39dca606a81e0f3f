// Package storetest holds the tests that every [enrich.Store] must pass, and Mem, a Store in memory that does.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"weft/enrich"
)

// Source is what the tests read.
func Source() *enrich.Source {
	return &enrich.Source{
		Database:   "storetest",
		Collection: "documents",
		Key:        "id",
		Fields: []enrich.Field{
			{Name: "id", Type: enrich.Int64},
			{Name: "names", Type: enrich.Strings, Default: `["nobody"]`},
			{Name: "score", Type: enrich.Number, Default: `0.5`},
			{Name: "label", Type: enrich.String, Default: `""`},
			{Name: "more", Type: enrich.Object, Default: `{}`},
		},
	}
}

// Test runs the tests. open returns a Store that holds the documents, which are JSON objects, in their order, where
// source says.
func Test(t *testing.T, open func(t *testing.T, source *enrich.Source, documents ...string) enrich.Store) {
	tests := []struct {
		name      string
		documents []string
		want      string // empty for an error
		err       error
	}{
		{
			"all fields",
			[]string{`{"id":7,"names":["a","b"],"score":2.5,"label":"l","more":{"z":[1,{"y":null}],"a":true}}`},
			`{"id":7,"names":["a","b"],"score":2.5,"label":"l","more":{"z":[1,{"y":null}],"a":true}}`, nil,
		},
		{
			"another order, unknown fields",
			[]string{`{"more":{},"secret":1,"label":"l","score":2.5,"names":[],"id":7}`},
			`{"id":7,"names":[],"score":2.5,"label":"l","more":{}}`, nil,
		},
		{"defaults", []string{`{"id":7}`}, `{"id":7,"names":["nobody"],"score":0.5,"label":"","more":{}}`, nil},
		{
			"a whole number is a key and a number",
			[]string{`{"id":7.0,"score":2}`},
			`{"id":7,"names":["nobody"],"score":2.0,"label":"","more":{}}`, nil,
		},
		{
			"text",
			[]string{`{"id":7,"label":"\"\\\n\u0000ü🧵"}`},
			`{"id":7,"names":["nobody"],"score":0.5,"label":"\"\\\n\u0000ü🧵","more":{}}`, nil,
		},
		{
			"among others",
			[]string{`{"id":6,"label":"six"}`, `{"id":7,"label":"seven"}`, `{"id":8,"label":"eight"}`},
			`{"id":7,"names":["nobody"],"score":0.5,"label":"seven","more":{}}`, nil,
		},
		{
			"the first of two",
			[]string{`{"id":7,"label":"first"}`, `{"id":7,"label":"second"}`},
			`{"id":7,"names":["nobody"],"score":0.5,"label":"first","more":{}}`, nil,
		},
		{"the first of two, though it is bad", []string{`{"id":7,"label":1}`, `{"id":7,"label":"second"}`}, "", enrich.ErrWrongType},

		{"no document", nil, "", enrich.ErrNotFound},
		{"a text is another key", []string{`{"id":"7"}`}, "", enrich.ErrNotFound},
		{"a fraction is another key", []string{`{"id":7.5}`}, "", enrich.ErrNotFound},
		{"true is another key", []string{`{"id":true}`}, "", enrich.ErrNotFound},
		{"null", []string{`{"id":7,"names":null}`}, "", enrich.ErrWrongType},
		{"names with a number", []string{`{"id":7,"names":["a",1]}`}, "", enrich.ErrWrongType},
		{"names that are none", []string{`{"id":7,"names":"a"}`}, "", enrich.ErrWrongType},
		{"a score that is a word", []string{`{"id":7,"score":"high"}`}, "", enrich.ErrWrongType},
		{"a label that is a number", []string{`{"id":7,"label":7}`}, "", enrich.ErrWrongType},
		{"an array for more", []string{`{"id":7,"more":[]}`}, "", enrich.ErrWrongType},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := Source()
			got, err := open(t, source, test.documents...).Find(t.Context(), source, 7)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if test.want == "" {
				return
			}
			if !json.Valid(got) || !sameJSON(t, string(got), test.want) {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
		})
	}
	t.Run("a context that has ended", func(t *testing.T) {
		source := Source()
		store := open(t, source, `{"id":7}`)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := store.Find(ctx, source, 7); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
	})
}

// sameJSON compares the texts but for the escapes of strings, which are the writer's choice; the order of members counts.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	return canonical(t, a) == canonical(t, b)
}
