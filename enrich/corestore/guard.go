package corestore

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"weft/enrich"
)

const (
	// getBudget limits Get, which exchanges wait for. A Redis in the same region responds within 1 or 2 ms. A legacy
	// service that is worth a cache needs longer than 10 ms.
	getBudget = 10 * time.Millisecond

	// updateBudget limits Update, which needs two round trips or more. The response may wait for it.
	updateBudget = 2 * getBudget

	// connectBudget limits the first call of a probe, which may include TLS handshakes. No exchange waits for it.
	connectBudget = time.Second

	// The circuit opens after maxFailures consecutive failures, or if at least half of minCalls calls or more within
	// the window fail.
	maxFailures = 5
	minCalls    = 20
	window      = 10 * time.Second

	// retryDelay is the time between probes while the circuit is open.
	retryDelay = time.Second

	// clockSkew is the largest expected difference between the clocks of processes that share a store.
	clockSkew = 5 * time.Second

	// slots is the number of slots of a Guard, each for the keys of one hash.
	slots = 1 << 14

	probeKey = "probe"
)

// Guard is an [enrich.CoreStore] that protects exchanges from another one that is slow, unavailable or wrong. It limits
// the time of each call, and leaves the store alone while most calls fail: the circuit is open. A panic in the store is
// an error.
//
// If an Update of a key fails, Get and Update do not use values of the key that were written before. They do not use
// any value that was written before a restart of a Redis, which may have lost Updates. Of the values that were written
// within clockSkew afterwards, they use only the last one of the Guard itself. Other processes may still use a value
// whose Update failed.
type Guard struct {
	store   enrich.CoreStore
	breaker *gobreaker.CircuitBreaker[[]byte]
	changed func(error)

	limits limits

	errors    atomic.Uint64
	lastError atomic.Pointer[error]
	isOpen    atomic.Bool

	restarted atomic.Int64 // when a Redis was found restarted, in nanoseconds since 1970
	slots     [slots]slot  // by the hash of keys; sharing one only makes values unused
	seed      maphash.Seed

	stop    context.CancelFunc
	running sync.WaitGroup
}

// slot has times in nanoseconds since 1970.
type slot struct {
	failed atomic.Int64 // when the last Update failed
	own    atomic.Int64 // when the value of the last successful Update was written; 0 for a removal
}

var _ enrich.LossyStore = (*Guard)(nil)

// limits are getBudget, updateBudget and clockSkew, but for tests.
type limits struct{ get, update, clockSkew time.Duration }

// NewGuard returns a Guard for a store. A Redis can have one Guard only. The Guard calls changed with the last error
// when the circuit opens, and with nil when it is closed again; changed must not use the Guard. Call [Guard.Close] at
// the end.
func NewGuard(store enrich.CoreStore, changed func(error)) *Guard {
	return newGuard(store, changed, limits{getBudget, updateBudget, clockSkew})
}

func newGuard(store enrich.CoreStore, changed func(error), l limits) *Guard {
	g := &Guard{store: store, changed: changed, limits: l, seed: maphash.MakeSeed()}
	g.breaker = gobreaker.NewCircuitBreaker[[]byte](gobreaker.Settings{
		MaxRequests: 2, // those of a probe; the circuit closes after as many successful calls
		Interval:    window,
		Timeout:     retryDelay * 9 / 10, // so that each probe is a call
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= maxFailures || c.Requests >= minCalls && 2*c.TotalFailures >= c.Requests
		},
		IsExcluded:    func(err error) bool { return errors.As(err, new(callerError)) },
		OnStateChange: g.stateChanged,
	})
	if r, ok := store.(*Redis); ok {
		r.restarted = func() { g.restarted.Store(time.Now().UnixNano()) }
	}
	var ctx context.Context
	ctx, g.stop = context.WithCancel(context.Background())
	g.running.Go(func() { g.monitor(ctx) })
	return g
}

// callerError says that the context of a call of the Guard ended, which says nothing about the store.
type callerError struct{ error }

func (e callerError) Unwrap() error { return e.error }

func (g *Guard) stateChanged(_ string, _, to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		if !g.isOpen.Swap(true) {
			g.changed(*g.lastError.Load())
		}
	case gobreaker.StateClosed:
		g.isOpen.Store(false)
		g.changed(nil)
	}
}

// monitor probes the store at the start, so that it is connected before an exchange needs it, or the circuit is open.
// Later it probes while the circuit is open, so that exchanges need not.
func (g *Guard) monitor(ctx context.Context) {
	for range maxFailures {
		if g.probe(ctx) == nil {
			break
		}
	}
	tick := time.NewTicker(retryDelay)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if g.isOpen.Load() {
				_ = g.probe(ctx)
			}
		}
	}
}

// probe calls the store as an exchange does, after it has connected. So the circuit does not close if the store can be
// read but not written, or responds too late.
func (g *Guard) probe(ctx context.Context) error {
	get := func(ctx context.Context) ([]byte, error) { return g.store.Get(ctx, probeKey) }
	_, _ = try(ctx, connectBudget, get)
	if _, err := g.call(ctx, g.limits.get, get); err != nil {
		return err
	}
	return g.Update(ctx, probeKey, func([]byte) ([]byte, time.Duration) { return []byte{1}, time.Minute })
}

// Close ends the probes. It does not close the store.
func (g *Guard) Close() {
	g.stop()
	g.running.Wait()
}

// GuardStats describe a [Guard].
type GuardStats struct {
	Errors uint64 // calls of the store that failed or timed out
	Open   bool   // the circuit is open
}

// Stats returns the number of errors and the state of the circuit.
func (g *Guard) Stats() GuardStats { return GuardStats{Errors: g.errors.Load(), Open: g.isOpen.Load()} }

// Get implements [enrich.CoreStore]. It waits until the deadline of ctx or, if ctx has none, for getBudget. It returns
// an error without a call of the store while the circuit is open.
func (g *Guard) Get(ctx context.Context, key string) ([]byte, error) {
	stamped, err := g.get(ctx, key)
	return g.current(key, stamped), err
}

// Outdated implements [enrich.LossyStore]. It waits as Get does.
func (g *Guard) Outdated(ctx context.Context, key string) []byte {
	stamped, _ := g.get(ctx, key)
	if len(stamped) <= stampSize || g.current(key, stamped) != nil {
		return nil
	}
	return stamped[stampSize:]
}

func (g *Guard) get(ctx context.Context, key string) ([]byte, error) {
	budget := g.limits.get
	if _, ok := ctx.Deadline(); ok {
		budget = time.Hour // the deadline is earlier
	}
	return g.call(ctx, budget, func(ctx context.Context) ([]byte, error) { return g.store.Get(ctx, key) })
}

// Update implements [enrich.CoreStore]. It returns an error without a call of the store while the circuit is open.
func (g *Guard) Update(
	ctx context.Context, key string, change func(old []byte) (value []byte, ttl time.Duration),
) error {
	var written int64
	_, err := g.call(ctx, g.limits.update, func(ctx context.Context) ([]byte, error) {
		return nil, g.store.Update(ctx, key, func(old []byte) ([]byte, time.Duration) {
			value, ttl := change(g.current(key, old))
			if len(value) == 0 {
				return nil, 0
			}
			written = time.Now().UnixNano()
			return stamp(value, written), ttl
		})
	})
	if err != nil {
		g.slot(key).failed.Store(time.Now().UnixNano())
	} else {
		g.slot(key).own.Store(written)
	}
	return err
}

// MaxValue implements [enrich.CoreStore].
func (g *Guard) MaxValue(key string) int { return g.store.MaxValue(key) - stampSize }

// call calls the store, unless the circuit is open.
func (g *Guard) call(
	ctx context.Context, budget time.Duration, f func(context.Context) ([]byte, error),
) ([]byte, error) {
	return g.breaker.Execute(func() ([]byte, error) {
		began := time.Now()
		value, err := try(ctx, budget, f)
		switch {
		case err == nil:
			return value, nil
		case ctx.Err() != nil && time.Since(began) < g.limits.get:
			return nil, callerError{context.Cause(ctx)}
		default:
			g.errors.Add(1)
			g.lastError.Store(&err)
			return nil, err
		}
	})
}

// try calls f with a timeout. A panic is an error.
func try(
	ctx context.Context, timeout time.Duration, f func(context.Context) ([]byte, error),
) (value []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if panicked := enrich.AsPanic(recover()); panicked != nil {
			value, err = nil, panicked
		}
	}()
	return f(ctx)
}

// The store has the time of writing before each value.
const stampSize = 8

func stamp(value []byte, written int64) []byte {
	stamped := binary.BigEndian.AppendUint64(make([]byte, 0, stampSize+len(value)), uint64(written))
	return append(stamped, value...)
}

// current returns the value in what the store has; nil if it is outdated.
func (g *Guard) current(key string, stamped []byte) []byte {
	if len(stamped) <= stampSize {
		return nil
	}
	written, s := int64(binary.BigEndian.Uint64(stamped)), g.slot(key)
	outdated := max(g.restarted.Load(), s.failed.Load())
	if written != s.own.Load() {
		outdated += int64(g.limits.clockSkew)
	}
	if written <= outdated {
		return nil
	}
	return stamped[stampSize:]
}

func (g *Guard) slot(key string) *slot { return &g.slots[maphash.String(g.seed, key)%slots] }
