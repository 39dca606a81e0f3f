package enrich_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weft/enrich"
	"weft/enrich/corestore"
)

// faultyStore is a store that processes share. It can fail, and it can lose values, like a Redis.
type faultyStore struct {
	enrich.CoreStore
	fails, loses func() bool // nil means never
	beforeUpdate func()      // runs once; nil for nothing
}

var errFaulty = errors.New("down")

func (f *faultyStore) is(fault func() bool) bool { return fault != nil && fault() }

func (f *faultyStore) Get(ctx context.Context, key string) ([]byte, error) {
	if f.is(f.fails) {
		return nil, errFaulty
	}
	if f.is(f.loses) {
		return nil, f.lose(ctx, key)
	}
	return f.CoreStore.Get(ctx, key)
}

// Update may have replaced the value also if it fails. As [enrich.CoreStore] requires, older values are not used then.
func (f *faultyStore) Update(ctx context.Context, key string, change func([]byte) ([]byte, time.Duration)) error {
	if run := f.beforeUpdate; run != nil {
		f.beforeUpdate = nil
		run()
	}
	if f.is(f.fails) {
		return errors.Join(errFaulty, f.lose(ctx, key))
	}
	return f.CoreStore.Update(ctx, key, change)
}

func (f *faultyStore) lose(ctx context.Context, key string) error {
	return f.CoreStore.Update(ctx, key, func([]byte) ([]byte, time.Duration) { return nil, 0 })
}

// localCores has two processes that share a store.
type localCores struct {
	*testing.T
	rule       *enrich.Rule
	shared     *faultyStore
	ours, them *enrich.Cores
}

func newLocalCores(t *testing.T) *localCores {
	c := &localCores{
		T:      t,
		rule:   keptRule(t, enrich.KeepPolicy{Cache: true, StaleIfError: 10 * time.Minute}, enrich.DegradeAlways),
		shared: &faultyStore{CoreStore: newMemory(t)},
	}
	c.ours, c.them = enrich.NewCores(c.shared, newMemory(t), nil), enrich.NewCores(c.shared, newMemory(t), nil)
	return c
}

// with returns c with another rule for the same core, which has no stale_if_error itself.
func (c *localCores) with(maxStaleIfError time.Duration) *localCores {
	other := *c
	policy := enrich.KeepPolicy{Cache: true, MaxStaleIfError: maxStaleIfError}
	other.rule = keptRule(c.T, policy, enrich.DegradeNever)
	return &other
}

// respond lets the legacy service respond to a request through a process.
func (c *localCores) respond(cores *enrich.Cores, resp enrich.Response, body string) {
	req, params := user7()
	k := cores.Recall(c.Context(), c.rule, params, req, "", 0)
	defer k.Close()
	time.Sleep(time.Millisecond)
	if resp.Status == 200 {
		save(k, c.rule, resp, body)
	} else {
		k.Respond(resp)
		k.Wait()
	}
	time.Sleep(time.Millisecond)
}

// change lets the legacy service respond to a PUT through a process. The outcome is unknown without a status.
func (c *localCores) change(cores *enrich.Cores, status int) {
	req, _ := user7()
	req.Method = "PUT"
	k := cores.Unsafe(c.Context(), enrich.NewRules([]*enrich.Rule{c.rule}), req)
	defer k.Close()
	if status > 0 {
		k.Respond(enrich.Response{Origin: enrich.OriginLegacy, Status: status})
	}
}

// expect checks the core that stands in for a failure of the legacy service, and the fresh one; "" for none.
func (c *localCores) expect(cores *enrich.Cores, standIn, fresh string) {
	c.Helper()
	req, params := user7()
	k := cores.Recall(c.Context(), c.rule, params, req, "", 0)
	defer k.Close()
	if core, _ := k.Fresh(); string(core.JSON) != fresh {
		c.Errorf("%q is fresh, want %q", core.JSON, fresh)
	}
	if core := k.StandIn(enrich.LegacyUnreachable); string(core.JSON) != standIn {
		c.Errorf("%q stands in, want %q", core.JSON, standIn)
	}
}

// TestLocalCores: while the shared store fails or has lost a core, the last one of the process itself stands in. It is
// never fresh. It does not stand in for what another process has dropped.
func TestLocalCores(t *testing.T) {
	const v1, v2, v3 = `{"v":1}`, `{"v":2}`, `{"v":3}`
	always := func() bool { return true }
	week, unkept := legacy200("max-age=604800"), legacy200("no-store")
	forbidden := enrich.Response{Origin: enrich.OriginLegacy, Status: 403}
	for name, run := range map[string]func(c *localCores){
		"the store fails": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.shared.fails = always
			c.expect(c.ours, v1, "")
			c.expect(c.them, "", "")
		},
		"the store has lost it": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.shared.loses = always
			c.expect(c.ours, v1, "")
			c.expect(c.them, "", "")
		},
		"the store has a newer one": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.respond(c.them, week, v2)
			c.expect(c.ours, v2, v2)
		},
		"the store did not get the last one": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.shared.fails = always
			c.respond(c.ours, week, v2)
			c.shared.fails = nil
			c.expect(c.ours, v2, "")
		},
		"the store gets it with the next one": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.shared.loses = always
			c.respond(c.ours, week, v2)
			c.shared.loses = nil
			c.expect(c.ours, v2, v2)
			c.expect(c.them, v2, v2)
		},
		"the store gets a later one with an earlier one": func(c *localCores) {
			req, params := user7()
			earlier := c.ours.Recall(c.Context(), c.rule, params, req, "", 0)
			defer earlier.Close()
			time.Sleep(time.Millisecond)
			c.shared.fails = always
			c.respond(c.ours, week, v2)
			c.shared.fails = nil
			time.Sleep(time.Millisecond)
			save(earlier, c.rule, week, v2)
			c.expect(c.ours, v2, v2)
		},
		"the store gets no core of long ago": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.shared.loses = always
			time.Sleep(time.Second)
			c.respond(c.ours, enrich.Response{Origin: enrich.OriginLegacy, Status: 429}, "")
			c.shared.loses = nil
			c.expect(c.them, "", "")
			c.expect(c.ours, v1, "")
		},
		"another process was rejected": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.respond(c.them, forbidden, "")
			time.Sleep(10*time.Minute - time.Second) // the other process' note is kept as long
			c.expect(c.ours, "", "")
		},
		"another process got one that is not kept": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.respond(c.them, unkept, v2)
			c.expect(c.ours, "", "")
		},
		"the note of another process has expired": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.respond(c.them, forbidden, "")
			time.Sleep(20 * time.Minute)
			c.expect(c.ours, "", "")
		},
		"another process was rejected, by a rule that shares the core": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.with(c.rule.Keep.StaleIfError).respond(c.them, forbidden, "")
			time.Sleep(10*time.Minute - time.Second)
			c.expect(c.ours, "", "")
		},
		"longer ago than stale_if_error": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.shared.fails = always
			time.Sleep(10*time.Minute - time.Second)
			c.expect(c.ours, v1, "")
			time.Sleep(time.Second)
			c.expect(c.ours, "", "")
		},
		"this process was rejected": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.shared.fails = always
			c.respond(c.ours, forbidden, "")
			c.expect(c.ours, "", "")
			c.shared.fails = nil
			c.expect(c.ours, "", "")
		},
		"this process has changed it": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.shared.fails = always
			c.change(c.ours, 200)
			c.expect(c.ours, "", "")
			c.respond(c.ours, week, v3)
			c.expect(c.ours, v3, "")
		},
		"this process was rejected, by a rule that shares the core": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.with(c.rule.Keep.StaleIfError).respond(c.ours, forbidden, "")
			c.shared.fails = always
			c.expect(c.ours, "", "")
		},
		"this process has changed it, while rules kept no stale core": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.with(0).change(c.ours, 200)
			c.shared.fails = always
			c.expect(c.ours, "", "")
		},
		"this process has changed it, while an earlier update was in progress": func(c *localCores) {
			c.shared.beforeUpdate = func() {
				time.Sleep(time.Millisecond)
				c.shared.fails = always
				c.change(c.ours, 200)
				c.shared.fails = nil
			}
			c.respond(c.ours, week, v1)
			c.expect(c.ours, "", "")
			c.expect(c.them, "", "")
		},
		"this process may have changed it, and the store has lost that another one was rejected": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.respond(c.them, forbidden, "")
			c.shared.loses = always
			c.expect(c.ours, v1, "")
			c.shared.loses = nil
			c.change(c.ours, 0)
			c.expect(c.them, "", "")
		},
		"this process may have changed it": func(c *localCores) {
			c.respond(c.ours, week, v1)
			c.shared.loses = always
			c.change(c.ours, 0)
			c.shared.loses = nil
			c.expect(c.ours, v1, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newLocalCores(t)
				run(c)
			})
		})
	}
}

// TestSizesOfLocalCores: a core that is too large for the local store is in the shared one, also after that has lost
// it. No earlier one stands in.
func TestSizesOfLocalCores(t *testing.T) {
	always, week := func() bool { return true }, legacy200("max-age=604800")
	large := `{"v":2,"text":"` + strings.Repeat("x", 1<<10) + `"}`
	for size, standIn := range map[uint64]string{1: "", 4 << 10: "", 1 << 20: large} {
		synctest.Test(t, func(t *testing.T) {
			c := newLocalCores(t)
			local := corestore.NewMemory(size)
			defer local.Close()
			c.ours = enrich.NewCores(c.shared, local, nil)
			c.respond(c.ours, week, `{"v":1}`)
			c.respond(c.ours, week, large)
			c.expect(c.ours, large, large)
			c.shared.loses = always
			c.respond(c.ours, week, large)
			c.shared.loses = nil
			c.expect(c.them, large, large)
			c.shared.fails = always
			c.expect(c.ours, standIn, "")
		})
	}
}

// TestNoLocalCores: if no rule has stale_if_error, cores are in the shared store only.
func TestNoLocalCores(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, local := newLocalCores(t).with(0), newMemory(t)
		c.ours = enrich.NewCores(c.shared, local, nil)
		c.respond(c.ours, legacy200("max-age=60"), `{"v":1}`)
		c.expect(c.them, "", `{"v":1}`)
		if stats := local.Stats(); stats.Entries != 0 {
			t.Errorf("%+v", stats)
		}
	})
}

// TestSlowStore: for a core that stands in, an exchange waits a quarter of its budget for the store, or 200 ms.
func TestSlowStore(t *testing.T) {
	for budget, want := range map[time.Duration]time.Duration{
		0: 200 * time.Millisecond, 400 * time.Millisecond: 100 * time.Millisecond, time.Second: 200 * time.Millisecond,
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newLocalCores(t)
			c.rule = keptRule(t, enrich.KeepPolicy{StaleIfError: time.Minute}, enrich.DegradeAlways)
			c.respond(c.ours, legacy200(""), `{"v":1}`)
			c.shared.CoreStore = frozen{c.shared.CoreStore}
			req, params := user7()
			k := c.ours.Recall(t.Context(), c.rule, params, req, "", budget)
			defer k.Close()
			began := time.Now()
			core := k.StandIn(enrich.LegacyError)
			if waited := time.Since(began); waited != want || string(core.JSON) != `{"v":1}` {
				t.Errorf("budget %v: %s stands in after %v, want after %v", budget, core.JSON, waited, want)
			}
		})
	}
}

// frozen is a store whose Get responds when its context ends.
type frozen struct{ enrich.CoreStore }

func (frozen) Get(ctx context.Context, _ string) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// unreachable is a store that fails, but keeps its values.
type unreachable struct {
	enrich.CoreStore
	fails bool
}

func (u *unreachable) Get(ctx context.Context, key string) ([]byte, error) {
	if u.fails {
		return nil, errFaulty
	}
	return u.CoreStore.Get(ctx, key)
}

func (u *unreachable) Update(ctx context.Context, key string, change func([]byte) ([]byte, time.Duration)) error {
	if u.fails {
		return errFaulty
	}
	return u.CoreStore.Update(ctx, key, change)
}

// TestNotesOutliveFailures: after an Update of the shared store has failed, a process does not use values that may be
// older. But what another process has dropped since does not stand in.
func TestNotesOutliveFailures(t *testing.T) {
	const v1 = `{"v":1}`
	week := legacy200("max-age=604800")
	for name, test := range map[string]struct {
		after   func(c *localCores, failedUpdate func())
		standIn string
	}{
		"rejected": {func(c *localCores, _ func()) {
			c.respond(c.them, enrich.Response{Origin: enrich.OriginLegacy, Status: 403}, "")
		}, ""},
		"changed":         {func(c *localCores, _ func()) { c.change(c.them, 200) }, ""},
		"perhaps changed": {func(c *localCores, _ func()) { c.change(c.them, 0) }, v1},
		"changed earlier": {func(c *localCores, failedUpdate func()) { c.change(c.them, 200); failedUpdate() }, v1},
		"nothing":         {func(*localCores, func()) {}, v1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, shared := newLocalCores(t), &unreachable{CoreStore: newMemory(t)}
				guard := func() *enrich.Cores {
					g := corestore.NewGuard(shared, func(error) {})
					t.Cleanup(g.Close)
					return enrich.NewCores(g, newMemory(t), nil)
				}
				c.ours, c.them = guard(), guard()
				c.respond(c.ours, week, v1)
				failedUpdate := func() {
					shared.fails = true
					c.respond(c.ours, week, v1)
					shared.fails = false
				}
				failedUpdate()
				test.after(c, failedUpdate)
				time.Sleep(time.Minute)
				c.expect(c.ours, test.standIn, "")
			})
		})
	}
}
