// Package storetest has the tests that every [enrich.Store] must pass, and [Mem], an in-memory Store.
package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"weft/enrich"
)

// Source returns the source that the tests read.
func Source() *enrich.Source {
	return &enrich.Source{
		Database:   "storetest",
		Collection: "documents",
		Where:      []enrich.Condition{{Field: "id", Type: enrich.Int64}},
		Fields: []enrich.Field{
			{Name: "id", Path: "id", Type: enrich.Int64},
			{Name: "names", Path: "names", Type: enrich.Strings, Default: `["nobody"]`},
			{Name: "score", Path: "score", Type: enrich.Number, Default: `0.5`},
			{Name: "label", Path: "label", Type: enrich.String, Default: `""`},
			{Name: "more", Path: "more", Type: enrich.Object, Default: `{}`},
		},
	}
}

// Test runs the tests. open returns a Store with documents (JSON objects), in their order, in the collection of source.
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
			"7.0 is a key, 2 is a number",
			[]string{`{"id":7.0,"score":2}`},
			`{"id":7,"names":["nobody"],"score":2.0,"label":"","more":{}}`, nil,
		},
		{
			"an integer that a double can represent",
			[]string{`{"id":7,"score":-9007199254740992}`},
			`{"id":7,"names":["nobody"],"score":-9007199254740992.0,"label":"","more":{}}`, nil,
		},
		{
			"an integer that a double cannot represent",
			[]string{`{"id":7,"score":9007199254740993}`},
			`{"id":7,"names":["nobody"],"score":9007199254740993,"label":"","more":{}}`, nil,
		},
		{
			"a large integer",
			[]string{`{"id":7,"score":861658154331799551,"more":{"n":-861658154331799551}}`},
			`{"id":7,"names":["nobody"],"score":861658154331799551,"label":"","more":{"n":-861658154331799551}}`, nil,
		},
		{
			"text",
			[]string{`{"id":7,"label":"\"\\\n\u0000ü🧵"}`},
			`{"id":7,"names":["nobody"],"score":0.5,"label":"\"\\\n\u0000ü🧵","more":{}}`, nil,
		},
		{
			"other documents",
			[]string{`{"id":6,"label":"six"}`, `{"id":7,"label":"seven"}`, `{"id":8,"label":"eight"}`},
			`{"id":7,"names":["nobody"],"score":0.5,"label":"seven","more":{}}`, nil,
		},
		{
			"the first of two",
			[]string{`{"id":7,"label":"first"}`, `{"id":7,"label":"second"}`},
			`{"id":7,"names":["nobody"],"score":0.5,"label":"first","more":{}}`, nil,
		},
		{
			"the first of two, which is invalid",
			[]string{`{"id":7,"label":1}`, `{"id":7,"label":"second"}`},
			"", enrich.ErrWrongType,
		},

		{"no document", nil, "", enrich.ErrNotFound},
		{"a string is another key", []string{`{"id":"7"}`}, "", enrich.ErrNotFound},
		{"a fraction is another key", []string{`{"id":7.5}`}, "", enrich.ErrNotFound},
		{"true is another key", []string{`{"id":true}`}, "", enrich.ErrNotFound},
		{"null", []string{`{"id":7,"names":null}`}, "", enrich.ErrWrongType},
		{"names with a number", []string{`{"id":7,"names":["a",1]}`}, "", enrich.ErrWrongType},
		{"names is not an array", []string{`{"id":7,"names":"a"}`}, "", enrich.ErrWrongType},
		{"score is a string", []string{`{"id":7,"score":"high"}`}, "", enrich.ErrWrongType},
		{"label is a number", []string{`{"id":7,"label":7}`}, "", enrich.ErrWrongType},
		{"more is an array", []string{`{"id":7,"more":[]}`}, "", enrich.ErrWrongType},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			source := Source()
			store := open(t, source, test.documents...)
			// One key, and several.
			for _, keys := range [][]enrich.Key{{number(7)}, {number(7), number(70)}, {number(-7), number(700), number(7)}} {
				found := store.Find(t.Context(), source, keys)
				if len(found) != len(keys) {
					t.Fatalf("%d extensions for %d keys", len(found), len(keys))
				}
				got := found[slices.IndexFunc(keys, func(k enrich.Key) bool { return k[0] == number(7)[0] })]
				check(t, got, test.want, test.err)
			}
		})
	}
	t.Run("many", func(t *testing.T) {
		source := Source()
		store := open(t, source,
			`{"id":1,"label":"one"}`, `{"id":2,"label":2}`, `{"id":4,"label":"four"}`, `{"id":1,"label":"again"}`)
		found := store.Find(t.Context(), source, []enrich.Key{number(4), number(3), number(2), number(1)})
		rest := `,"names":["nobody"],"score":0.5,"label":`
		check(t, found[0], `{"id":4`+rest+`"four","more":{}}`, nil)
		check(t, found[1], "", enrich.ErrNotFound)
		check(t, found[2], "", enrich.ErrWrongType)
		check(t, found[3], `{"id":1`+rest+`"one","more":{}}`, nil)
	})
	t.Run("keys that a double cannot represent", func(t *testing.T) {
		source := Source()
		const n = 1<<53 + 1
		store := open(t, source, `{"id":9007199254740992,"label":"before"}`, `{"id":9007199254740993,"label":"n"}`)
		rest := `,"names":["nobody"],"score":0.5,"label":`
		for _, keys := range [][]enrich.Key{{number(n)}, {number(n), number(n - 1), number(n + 1)}} {
			found := store.Find(t.Context(), source, keys)
			check(t, found[0], `{"id":9007199254740993`+rest+`"n","more":{}}`, nil)
			if len(keys) > 1 {
				check(t, found[1], `{"id":9007199254740992`+rest+`"before","more":{}}`, nil)
				check(t, found[2], "", enrich.ErrNotFound)
			}
		}
	})
	t.Run("several conditions, nested fields", func(t *testing.T) {
		source := Source()
		source.Where = []enrich.Condition{{Field: "shop.name"}, {Field: "active"}, {Field: "id"}}
		source.Fields = []enrich.Field{
			{Name: "name", Path: "shop.name", Type: enrich.String},
			{Name: "city", Path: "shop.address.city", Type: enrich.String, Default: `"?"`},
			{Name: "tags", Path: "tags", Type: enrich.Array},
			{Name: "open", Path: "shop.open", Type: enrich.Bool, Default: `false`},
			{Name: "any", Path: "any", Type: enrich.Any, Default: `null`},
		}
		store := open(t, source,
			`{"id":7,"shop":{"name":"north"},"active":false,"tags":[]}`,
			`{"id":7,"shop":{"name":"south"},"active":true,"tags":[]}`,
			`{"id":7,"shop":{"name":"north","address":{"city":"Oslo"},"open":true},"active":true,"tags":[1,"a"],"any":null}`,
			`{"id":8,"shop":{"name":"north","address":"none"},"active":true,"tags":["b"],"any":{"x":1}}`,
			`{"id":9,"shop":{"name":"north"},"active":true}`)
		key := func(id int64) enrich.Key {
			return enrich.Key{{Type: enrich.String, Text: "north"}, {Type: enrich.Bool, Int: 1}, {Type: enrich.Int64, Int: id}}
		}
		found := store.Find(t.Context(), source, []enrich.Key{key(7), key(8), key(9), key(10)})
		for i, want := range []struct {
			json string
			err  error
		}{
			{`{"name":"north","city":"Oslo","tags":[1,"a"],"open":true,"any":null}`, nil},
			{`{"name":"north","city":"?","tags":["b"],"open":false,"any":{"x":1}}`, nil},
			{"", enrich.ErrWrongType}, // tags have no default
			{"", enrich.ErrNotFound},
		} {
			check(t, found[i], want.json, want.err)
			check(t, store.Find(t.Context(), source, []enrich.Key{key(int64(7 + i))})[0], want.json, want.err)
		}
	})
	t.Run("a string that looks like an operator", func(t *testing.T) {
		source := Source()
		source.Where = []enrich.Condition{{Field: "label"}}
		store := open(t, source, `{"id":7,"label":"a"}`, `{"id":8,"label":"{\"$gt\":\"\"}"}`)
		for text, want := range map[string]error{
			`{"$gt":""}`: nil, `{"$ne":null}`: enrich.ErrNotFound, "$where": enrich.ErrNotFound, ".*": enrich.ErrNotFound,
			"/a/": enrich.ErrNotFound, "": enrich.ErrNotFound,
		} {
			key := enrich.Key{{Type: enrich.String, Text: text}}
			for _, keys := range [][]enrich.Key{{key}, {key, {{Type: enrich.String, Text: "b"}}}} {
				if ext := store.Find(t.Context(), source, keys)[0]; !errors.Is(ext.Err, want) {
					t.Errorf("%s: %s, %v; want %v", text, ext.JSON, ext.Err, want)
				}
			}
		}
	})
	t.Run("canceled context", func(t *testing.T) {
		source := Source()
		store := open(t, source, `{"id":7}`)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for _, keys := range [][]enrich.Key{{number(7)}, {number(7), number(8)}} {
			if found := store.Find(ended, source, keys); len(found) != len(keys) {
				t.Errorf("%d extensions for %d keys", len(found), len(keys))
			}
		}
		if found := store.Find(t.Context(), source, []enrich.Key{number(7)}); found[0].Err != nil {
			t.Errorf("the read after it: %v", found[0].Err)
		}
	})
}

func number(n int64) enrich.Key { return enrich.Key{{Type: enrich.Int64, Int: n}} }

// check compares an extension with the wanted JSON or error.
func check(t *testing.T, got enrich.Extension, json string, err error) {
	t.Helper()
	switch {
	case !errors.Is(got.Err, err):
		t.Errorf("error %v, want %v", got.Err, err)
	case err == nil && (!jsontext.Value(got.JSON).IsValid() || !sameJSON(t, string(got.JSON), json)):
		t.Errorf("\n got %s\nwant %s", got.JSON, json)
	}
}

// sameJSON compares JSON texts, including the order of members but not the escapes in strings.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	return canonical(t, a) == canonical(t, b)
}
