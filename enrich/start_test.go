package enrich

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestStart: a started read ends once, with the result or, if its context ends before that, with the reason.
func TestStart(t *testing.T) {
	for name, wrap := range map[string]func(Store) Store{
		"no starter":       func(s Store) Store { return s },
		"batch":            Batch,
		"limit":            func(s Store) Store { return Limit(s, 2) },
		"limit of a batch": func(s Store) Store { return Limit(Batch(s), 2) },
	} {
		for _, keys := range [][]Key{{number(1)}, {number(1), number(2)}} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := newGate()
					store := wrap(g)
					ctx, leave := context.WithCancelCause(t.Context())
					results := make(chan []Extension, 10)
					start := func(ctx context.Context) {
						Start(ctx, store, &Source{}, keys, func(found []Extension) { results <- found })
						synctest.Wait()
					}
					start(t.Context())
					if len(results) != 0 {
						t.Fatalf("it ended before the command: %v", <-results)
					}
					g.answer <- struct{}{}
					synctest.Wait()
					if found := <-results; !slices.EqualFunc(found, extensionsOf(keys, nil), equalJSON) {
						t.Errorf("found %v", found)
					}
					start(ctx)
					leave(context.DeadlineExceeded)
					synctest.Wait()
					for _, ext := range <-results {
						if !errors.Is(ext.Err, context.DeadlineExceeded) && !errors.Is(ext.Err, context.Canceled) {
							t.Errorf("the caller that left got %v", ext)
						}
					}
					g.answer <- struct{}{}
					synctest.Wait()
					if len(results) != 0 {
						t.Errorf("it ended twice: %v", <-results)
					}
				})
			})
		}
	}
}

func equalJSON(a, b Extension) bool {
	return string(a.JSON) == string(b.JSON) && a.Err == nil && b.Err == nil
}

// TestStartLimit: reads that have ended, also by their context, do not count.
func TestStartLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := Limit(Batch(newHeldStore()), 1)
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			errs := make(chan error, 2)
			for range 2 {
				Start(ctx, store, &Source{}, []Key{number(1)}, func(found []Extension) { errs <- found[0].Err })
			}
			if err := <-errs; !errors.Is(err, ErrOverloaded) {
				t.Errorf("the second read: %v", err)
			}
			cancel()
			if err := <-errs; !errors.Is(err, context.Canceled) {
				t.Errorf("the first read: %v", err)
			}
		}
		time.Sleep(maxCommandTime)
	})
}

// TestNotify: Notify calls its function when the reads have ended, or are canceled because of the budget or the end of
// the exchange. Then Await does not wait.
func TestNotify(t *testing.T) {
	for name, test := range map[string]struct {
		budget, answers, ends time.Duration // 0: never
		want                  time.Duration
		err                   error
	}{
		"before Notify":         {budget: time.Second, answers: -1},
		"after Notify":          {budget: time.Second, answers: time.Millisecond, want: time.Millisecond},
		"without a budget":      {answers: time.Hour, want: time.Hour},
		"the budget is used up": {budget: time.Second, want: time.Second, err: context.DeadlineExceeded},
		"the exchange ends":     {budget: time.Hour, ends: time.Minute, want: time.Minute, err: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rule, params := readRule()
				store := newHeldStore()
				read := Fetch(t.Context(), store, rule, params)
				defer read.Stop()
				answer := func() { store.answer <- Extension{JSON: []byte(`{}`)} }
				switch {
				case test.answers > 0:
					time.AfterFunc(test.answers, answer)
				case test.answers < 0:
					answer()
					synctest.Wait()
				case test.ends > 0:
					time.AfterFunc(test.ends, read.Stop)
				}
				began, called := time.Now(), make(chan struct{}, 2)
				read.Notify(test.budget, func() { called <- struct{}{} })
				<-called
				if !read.Done() {
					t.Error("a read has not ended")
				}
				found := read.Await(Core{}, time.Hour)
				if waited := time.Since(began); waited != test.want {
					t.Errorf("it took %v, want %v", waited, test.want)
				}
				if ext := found.of(0, 0); !errors.Is(ext.Err, test.err) {
					t.Errorf("%s, %v; want %v", ext.JSON, ext.Err, test.err)
				}
				time.Sleep(2 * time.Hour)
				if len(called) != 0 {
					t.Error("called twice")
				}
			})
		})
	}
}
