package enrich

import (
	"context"
	"errors"
	"slices"
	"testing"
)

// heldStore is a Store that answers when a test says so.
type heldStore struct {
	answer  []func([]byte, error) // of each read
	givenUp int
}

func (h *heldStore) Find(_ *Source, keys []Key, found func([]Extension)) func() {
	h.answer = append(h.answer, func(json []byte, err error) {
		found(slices.Repeat([]Extension{{JSON: json, Err: err}}, len(keys)))
	})
	return func() { h.givenUp++ }
}

func TestFetch(t *testing.T) {
	rule, params := UserProfile()[0], []Value{{Type: Int64, Int: 7}}
	failed := errors.New("no reachable servers")
	for name, test := range map[string]struct {
		json, want string
		err        error
	}{
		"a document": {`{}`, `{}`, nil},
		"none":       {"", string(rule.Sources[0].Default(Key(params))), ErrNotFound},
		"an error":   {"", "", failed},
	} {
		t.Run(name, func(t *testing.T) {
			store := &heldStore{}
			read := Fetch(store, rule, params)
			notified := 0
			read.Notify(func() { notified++ })
			if read.IsDone() || notified != 0 {
				t.Error("done before there was an answer")
			}
			store.answer[0]([]byte(test.json), test.err)
			if !read.IsDone() || notified != 1 {
				t.Errorf("with the answer: done %v, notified %d times", read.IsDone(), notified)
			}
			ext := read.Found(Core{}, context.DeadlineExceeded).of(0, 0)
			if want := test.err != nil && test.want == ""; string(ext.JSON) != test.want || want != (ext.Err != nil) || want && !errors.Is(ext.Err, test.err) {
				t.Errorf("%s, %v", ext.JSON, ext.Err)
			}
			if read.Stop(); store.givenUp != 0 {
				t.Error("what was over was given up")
			}
		})
	}
}

// TestFetchLate: what is not there in time is given up, and changes nothing any more.
func TestFetchLate(t *testing.T) {
	rule, params := UserProfile()[0], []Value{{Type: Int64, Int: 7}}
	store := &heldStore{}
	read := Fetch(store, rule, params)
	read.Notify(func() { t.Error("notified after Stop") })
	found := read.Found(Core{}, context.DeadlineExceeded)
	if ext := found.of(0, 0); !errors.Is(ext.Err, context.DeadlineExceeded) {
		t.Errorf("%s, %v", ext.JSON, ext.Err)
	}
	if read.Stop(); store.givenUp != 1 {
		t.Errorf("given up %d times", store.givenUp)
	}
	store.answer[0]([]byte(`{}`), nil)
	if ext := found.of(0, 0); ext.JSON != nil {
		t.Errorf("it became %s", ext.JSON)
	}
}
