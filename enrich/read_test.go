package enrich

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// heldStore is a Store whose reads a test releases.
type heldStore struct {
	asked  chan []Key
	answer chan Extension // for all keys of a read
}

func newHeldStore() *heldStore {
	return &heldStore{asked: make(chan []Key, 1000), answer: make(chan Extension, 1000)}
}

func (h *heldStore) Find(ctx context.Context, _ *Source, keys []Key) []Extension {
	h.asked <- keys
	select {
	case ext := <-h.answer:
		return slices.Repeat([]Extension{ext}, len(keys))
	case <-ctx.Done():
		return failAll(len(keys), ctx.Err())
	}
}

// readRule returns a rule with one source, whose key is the path's parameter.
func readRule() (*Rule, []Value) {
	source := &Source{
		Name:  "extension",
		Where: []Condition{{Field: "id"}},
		Fields: []Field{
			{Name: "id", Path: "id", Type: Int64}, {Name: "label", Path: "label", Type: String, Default: `"none"`},
		},
	}
	return Rule{Sources: []*Source{source}, CoreLimit: 1 << 20}.Ready(), []Value{{Type: Int64, Int: 7}}
}

func TestAwaitReturnsTheExtension(t *testing.T) {
	failed := errors.New("no reachable servers")
	for name, test := range map[string]struct {
		answer Extension
		want   string
		err    error
	}{
		"document":    {Extension{JSON: []byte(`{}`)}, `{}`, nil},
		"no document": {Extension{Err: ErrNotFound}, `{"id":7,"label":"none"}`, nil},
		"error":       {Extension{Err: failed}, "", failed},
		"nothing":     {Extension{}, "", errNoResult},
	} {
		t.Run(name, func(t *testing.T) {
			rule, params := readRule()
			store := newHeldStore()
			read := Fetch(t.Context(), store, rule, params)
			defer read.Stop()
			store.answer <- test.answer
			ext := read.Await(Core{}, 0).of(0, 0)
			if string(ext.JSON) != test.want || !errors.Is(ext.Err, test.err) {
				t.Errorf("%s, %v; want %s, %v", ext.JSON, ext.Err, test.want, test.err)
			}
		})
	}
}

// TestAwaitEnds: Await returns when the budget is used up or the exchange ends while the Store blocks, and a late read
// does not change the result.
func TestAwaitEnds(t *testing.T) {
	for name, test := range map[string]struct {
		budget, ends time.Duration // 0: never
		want         time.Duration
	}{
		"the budget is over": {budget: time.Second, want: time.Second},
		"the exchange ends":  {ends: time.Minute, want: time.Minute},
		"both":               {budget: time.Hour, ends: time.Minute, want: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.ends > 0 {
					time.AfterFunc(test.ends, cancel)
				}
				rule, params := readRule()
				store := newHeldStore()
				read := Fetch(ctx, store, rule, params)
				began := time.Now()
				found := read.Await(Core{}, test.budget)
				if waited := time.Since(began); waited != test.want {
					t.Errorf("it took %v, want %v", waited, test.want)
				}
				read.Stop()
				synctest.Wait()
				if ext := found.of(0, 0); ext.Err == nil || test.ends == 0 && !errors.Is(ext.Err, context.DeadlineExceeded) {
					t.Errorf("%s, %v", ext.JSON, ext.Err)
				}
			})
		})
	}
}

type panickingStore struct{ value any }

func (p panickingStore) Find(context.Context, *Source, []Key) []Extension { panic(p.value) }

// TestPanicOfARead: Await panics in its goroutine, with the stack of the goroutine that panicked.
func TestPanicOfARead(t *testing.T) {
	for name, store := range map[string]Store{
		"alone":   panickingStore{"index out of range"},
		"batched": Batch(panickingStore{"index out of range"}),
	} {
		t.Run(name, func(t *testing.T) {
			rule, params := readRule()
			read := Fetch(t.Context(), store, rule, params)
			defer read.Stop()
			defer func() {
				err := AsPanic(recover())
				if err == nil || err.Error() != "panic: index out of range" {
					t.Fatalf("recovered %v", err)
				}
				if want := "panickingStore.Find"; !strings.Contains(string(err.Stack), want) {
					t.Errorf("no %s in the stack:\n%s", want, err.Stack)
				}
			}()
			read.Await(Core{}, 0)
		})
	}
}

// TestWrongNumberOfExtensions: a Store with a bug does not mix up keys, and does not end the process.
func TestWrongNumberOfExtensions(t *testing.T) {
	for _, n := range []int{0, 2} {
		faulty := storeFunc(func(context.Context, []Key) []Extension { return make([]Extension, n) })
		for name, store := range map[string]Store{"alone": faulty, "batched": Batch(faulty)} {
			t.Run(fmt.Sprint(name, n), func(t *testing.T) {
				rule, params := readRule()
				read := Fetch(t.Context(), store, rule, params)
				defer read.Stop()
				ext := read.Await(Core{}, 0).of(0, 0)
				want := fmt.Sprintf("the store returned %d extensions for 1 keys", n)
				if ext.Err == nil || ext.Err.Error() != want {
					t.Errorf("%s, %v; want error %s", ext.JSON, ext.Err, want)
				}
			})
		}
	}
}
