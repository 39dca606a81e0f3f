package corestore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"weft/enrich"
)

var errDown = errors.New("connection refused")

// faulty is a Memory whose calls fail as a test wants.
type faulty struct {
	*Memory
	mu     sync.Mutex
	before func(context.Context) error // of a call; nil for no fault
	after  error                       // of an Update that was applied
	calls  atomic.Int64                // since the last change
}

func (f *faulty) fail(before func(context.Context) error, after error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
	f.calls.Store(0)
}

func (f *faulty) fault(ctx context.Context) error {
	f.mu.Lock()
	f.calls.Add(1)
	before := f.before
	f.mu.Unlock()
	if before == nil {
		return nil
	}
	return before(ctx)
}

func (f *faulty) Get(ctx context.Context, key string) ([]byte, error) {
	if err := f.fault(ctx); err != nil {
		return nil, err
	}
	return f.Memory.Get(ctx, key)
}

func (f *faulty) Update(
	ctx context.Context, key string, change func(old []byte) (value []byte, ttl time.Duration),
) error {
	if err := f.fault(ctx); err != nil {
		return err
	}
	err := f.Memory.Update(ctx, key, change)
	f.mu.Lock()
	defer f.mu.Unlock()
	return errors.Join(err, f.after)
}

func down(context.Context) error { return errDown }

// frozen never responds.
func frozen(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func panicking(context.Context) error { panic("bug") }

// guarded is a Guard of a faulty store.
type guarded struct {
	*Guard
	store *faulty
	log   []error // the arguments of changed
}

// testGuard calls f with a Guard, in a bubble of synctest. The store is connected; before is its fault.
func testGuard(t *testing.T, before func(context.Context) error, f func(t *testing.T, g *guarded)) {
	synctest.Test(t, func(t *testing.T) {
		g := &guarded{store: &faulty{Memory: NewMemory(1 << 20), before: before}}
		defer g.store.Close()
		g.Guard = NewGuard(g.store, func(err error) { g.log = append(g.log, err) })
		defer g.Close()
		synctest.Wait()
		f(t, g)
	})
}

// write sets the value of a key.
func (g *guarded) write(ctx context.Context, key, value string) error {
	return g.Update(ctx, key, func([]byte) ([]byte, time.Duration) { return []byte(value), time.Hour })
}

// TestBudget: a call returns although the store does not.
func TestBudget(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		g.store.fail(frozen, nil)
		for budget, call := range map[time.Duration]func() error{
			getBudget:    func() error { _, err := g.Get(t.Context(), "k"); return err },
			updateBudget: func() error { return g.write(t.Context(), "k", "v") },
			time.Second: func() error { // a caller that may wait longer
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := g.Get(ctx, "k")
				return err
			},
		} {
			began := time.Now()
			if err := call(); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if took := time.Since(began); took != budget {
				t.Errorf("returned after %v, want %v", took, budget)
			}
		}
		if s := g.Stats(); s != (GuardStats{Errors: 3}) {
			t.Errorf("%+v", s)
		}
	})
}

// TestCircuit: the Guard leaves a store alone that fails in any way, and uses it again when it works.
func TestCircuit(t *testing.T) {
	for name, fault := range map[string]func(context.Context) error{
		"down": down, "frozen": frozen, "panics": panicking,
	} {
		t.Run(name, func(t *testing.T) {
			testGuard(t, nil, func(t *testing.T, g *guarded) {
				set(t, g, "k", []byte("v"))
				g.store.fail(fault, nil)
				for i := range 2 * maxFailures {
					if _, err := g.Get(t.Context(), "k"); err == nil {
						t.Error("no error")
					} else if isOpen := errors.Is(err, gobreaker.ErrOpenState); isOpen != (i >= maxFailures) {
						t.Errorf("call %d: %v", i, err)
					}
				}
				if s, n := g.Stats(), g.store.calls.Load(); n != maxFailures || !s.Open || s.Errors != maxFailures {
					t.Errorf("%d calls, %+v", n, s)
				}
				time.Sleep(time.Minute) // probes fail
				synctest.Wait()
				if s := g.Stats(); !s.Open || s.Errors < maxFailures+20 || s.Errors > maxFailures+60 {
					t.Errorf("%+v", s)
				}
				g.store.fail(nil, nil)
				time.Sleep(3 * retryDelay)
				synctest.Wait()
				if s := g.Stats(); s.Open {
					t.Errorf("%+v", s)
				}
				expect(t, g, "k", "v")
				if len(g.log) != 2 || g.log[0] == nil || g.log[1] != nil {
					t.Errorf("%v", g.log)
				}
			})
		})
	}
}

// TestCircuitOfMixedCalls: the circuit opens as well if many calls fail, one by one.
func TestCircuitOfMixedCalls(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		for range minCalls {
			g.store.fail(nil, nil)
			_, _ = g.Get(t.Context(), "k")
			g.store.fail(down, nil)
			_, _ = g.Get(t.Context(), "k")
			_, _ = g.Get(t.Context(), "k")
		}
		if s := g.Stats(); !s.Open {
			t.Errorf("%+v", s)
		}
	})
}

// TestSlowStore: the circuit does not close while the store responds too late for exchanges, or rejects writes.
func TestSlowStore(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		for name, fault := range map[string]func(context.Context) error{
			"slow": func(ctx context.Context) error {
				select {
				case <-time.After(getBudget + 1):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			},
			"read-only": down,
		} {
			g.log = nil
			g.store.fail(fault, nil)
			for !g.Stats().Open {
				_, _ = g.Get(t.Context(), "k")
			}
			if name == "read-only" {
				g.store.fail(nil, errDown)
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if s := g.Stats(); !s.Open || len(g.log) != 1 {
				t.Errorf("%s: %+v, %v", name, s, g.log)
			}
			g.store.fail(nil, nil)
			time.Sleep(3 * retryDelay)
			synctest.Wait()
			if s := g.Stats(); s.Open || len(g.log) != 2 {
				t.Errorf("%s: %+v, %v", name, s, g.log)
			}
		}
	})
}

// TestUnavailableAtStart: this is reported without a call.
func TestUnavailableAtStart(t *testing.T) {
	testGuard(t, down, func(t *testing.T, g *guarded) {
		if !g.Stats().Open || len(g.log) != 1 || !errors.Is(g.log[0], errDown) {
			t.Errorf("%+v, %v", g.Stats(), g.log)
		}
	})
}

// TestPanic: a panic in a store is an error.
func TestPanic(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		g.store.fail(panicking, nil)
		var panicked *enrich.PanicError
		if _, err := g.Get(t.Context(), "k"); !errors.As(err, &panicked) {
			t.Error(err)
		}
		if err := g.write(t.Context(), "k", "v"); !errors.As(err, &panicked) {
			t.Error(err)
		}
	})
}

// TestCanceledCalls: calls whose context ends do not open the circuit.
func TestCanceledCalls(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		g.store.fail(frozen, nil)
		for range 3 * minCalls {
			ctx, cancel := context.WithTimeout(t.Context(), getBudget/2)
			if _, err := g.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			if err := g.write(ctx, "k", "v"); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			cancel()
		}
		if s := g.Stats(); s != (GuardStats{}) {
			t.Errorf("%+v", s)
		}
	})
}

// TestFailedUpdate: after a failed Update of a key, older values are not used, whether or not it was applied.
func TestFailedUpdate(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, fail := range map[string]func(g *guarded){
		"not applied": func(g *guarded) {
			g.store.fail(down, nil)
			_ = g.write(context.Background(), "k", "2")
		},
		"applied": func(g *guarded) {
			g.store.fail(nil, errDown)
			_ = g.write(context.Background(), "k", "2")
		},
		"removal": func(g *guarded) {
			g.store.fail(down, nil)
			_ = g.write(context.Background(), "k", "")
		},
		"canceled": func(g *guarded) {
			g.store.fail(frozen, nil)
			_ = g.write(canceled, "k", "2")
		},
		"open": func(g *guarded) {
			g.store.fail(down, nil)
			for range maxFailures {
				_, _ = g.Get(context.Background(), "k")
			}
			_ = g.write(context.Background(), "k", "2")
		},
	} {
		t.Run(name, func(t *testing.T) {
			testGuard(t, nil, func(t *testing.T, g *guarded) {
				other := NewGuard(g.store, func(error) {}) // another process
				defer other.Close()
				set(t, g, "k", []byte("1"))
				set(t, g, "other", []byte("1"))
				time.Sleep(time.Minute)
				synctest.Wait()
				fail(g)
				g.store.fail(nil, nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				expect(t, g, "k", "")
				expect(t, g, "other", "1")
				if err := g.Update(t.Context(), "k", func(old []byte) ([]byte, time.Duration) {
					if old != nil {
						t.Errorf("old value %q", old)
					}
					return []byte("3"), time.Hour
				}); err != nil {
					t.Error(err)
				}
				expect(t, g, "k", "3")
				expect(t, other, "k", "3")
			})
		})
	}
}

// TestClockSkew: the clock of another process that wrote an older value may be fast.
func TestClockSkew(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		other := NewGuard(g.store, func(error) {}) // another process
		defer other.Close()
		g.store.fail(down, nil)
		_ = g.write(t.Context(), "k", "2")
		g.store.fail(nil, nil)
		time.Sleep(clockSkew)
		set(t, other, "k", []byte("3"))
		expect(t, g, "k", "") // not known to be newer
		time.Sleep(time.Nanosecond)
		set(t, other, "k", []byte("4"))
		expect(t, g, "k", "4")
	})
}

// TestOwnValue: after a failed Update, the next value of the same process is used, but not an older one.
func TestOwnValue(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		g.store.fail(down, nil)
		_ = g.write(t.Context(), "k", "1")
		g.store.fail(nil, nil)
		time.Sleep(time.Nanosecond)
		set(t, g, "k", []byte("2"))
		expect(t, g, "k", "2")
		g.store.fail(down, nil)
		_ = g.write(t.Context(), "k", "3")
		g.store.fail(nil, nil)
		expect(t, g, "k", "")
		time.Sleep(2 * clockSkew)
		expect(t, g, "k", "")
		g.restarted.Store(time.Now().UnixNano())
		time.Sleep(time.Nanosecond)
		set(t, g, "k", []byte("4"))
		expect(t, g, "k", "4")
		g.restarted.Store(time.Now().UnixNano())
		expect(t, g, "k", "")
	})
}

// TestOutdate: after a restart of a Redis, values that were written before are not used.
func TestOutdate(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		set(t, g, "k", []byte("1"))
		set(t, g, "l", []byte("1"))
		g.restarted.Store(time.Now().UnixNano())
		time.Sleep(clockSkew + 1)
		expect(t, g, "k", "")
		set(t, g, "l", []byte("2"))
		expect(t, g, "l", "2")
		expect(t, g, "k", "")
	})
}

// TestForeignValue: a value without a time is not used.
func TestForeignValue(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		for _, foreign := range []string{"v", "12345678"} {
			set(t, g.store, "k", []byte(foreign))
			expect(t, g, "k", "")
		}
	})
}

// TestOutdatedValue: after a failed Update, Outdated returns the value that Get does not, until it is replaced.
func TestOutdatedValue(t *testing.T) {
	testGuard(t, nil, func(t *testing.T, g *guarded) {
		expectOutdated := func(want string) {
			t.Helper()
			if got := g.Outdated(t.Context(), "k"); string(got) != want {
				t.Errorf("%q, want %q", got, want)
			}
		}
		expectOutdated("")
		set(t, g, "k", []byte("1"))
		expectOutdated("")
		g.store.fail(down, nil)
		_ = g.write(t.Context(), "k", "2")
		expectOutdated("")
		g.store.fail(nil, nil)
		expect(t, g, "k", "")
		expectOutdated("1")
		time.Sleep(time.Second)
		set(t, g, "k", []byte("3"))
		expectOutdated("")
	})
}
