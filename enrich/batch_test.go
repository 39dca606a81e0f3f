package enrich

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// gate is a Store that answers a command when the test sends to answer. The JSON of each key is its last value.
type gate struct {
	asked  chan []Key    // keys of each command
	answer chan struct{} // one value for each command
	ended  chan error    // ctx.Err of each command when it was answered
}

func newGate() *gate {
	return &gate{asked: make(chan []Key, 1000), answer: make(chan struct{}, 1000), ended: make(chan error, 1000)}
}

func (g *gate) Find(ctx context.Context, _ *Source, keys []Key) []Extension {
	g.asked <- keys
	select {
	case <-g.answer:
	case <-ctx.Done():
	}
	g.ended <- ctx.Err()
	return extensionsOf(keys, ctx.Err())
}

func extensionsOf(keys []Key, err error) []Extension {
	found := make([]Extension, len(keys))
	for i, k := range keys {
		found[i] = Extension{JSON: []byte(k[len(k)-1].String()), Err: err}
	}
	return found
}

// storeFunc implements Store with a function.
type storeFunc func(ctx context.Context, keys []Key) []Extension

func (f storeFunc) Find(ctx context.Context, _ *Source, keys []Key) []Extension { return f(ctx, keys) }

func number(n int64) Key { return Key{{Type: Int64, Int: n}} }

// numbers returns the last values of keys.
func numbers(keys []Key) (ns []int64) {
	for _, k := range keys {
		ns = append(ns, k[len(k)-1].Int)
	}
	return ns
}

// reader reads through a Batch, in a synctest bubble.
type reader struct {
	t     *testing.T
	store Store
	src   *Source
	wait  sync.WaitGroup
}

func newReader(t *testing.T, store Store) *reader {
	return &reader{t: t, store: Batch(store), src: &Source{}}
}

// read starts the read of a key, checks its result in a goroutine, and returns when that goroutine waits.
func (r *reader) read(key Key) {
	r.wait.Go(func() {
		ext := r.store.Find(r.t.Context(), r.src, []Key{key})[0]
		if want := key[len(key)-1].String(); ext.Err != nil || string(ext.JSON) != want {
			r.t.Errorf("%s: %s, %v", want, ext.JSON, ext.Err)
		}
	})
	synctest.Wait()
}

// tryRead starts a read for a caller that may leave, and returns its results.
func (r *reader) tryRead(ctx context.Context, keys ...Key) <-chan []Extension {
	result := make(chan []Extension, 1)
	r.wait.Go(func() { result <- r.store.Find(ctx, r.src, keys) })
	synctest.Wait()
	return result
}

func (r *reader) expectIdle() {
	r.t.Helper()
	synctest.Wait()
	b := r.store.(*batch)
	b.mu.Lock()
	defer b.mu.Unlock()
	retries := len(b.retries.running) + len(b.retries.waiting) + len(b.retries.again)
	if len(b.groups) != 0 || len(b.overdue) != 0 || retries != 0 {
		r.t.Errorf("%d groups, %d overdue commands, %d retries; want none", len(b.groups), len(b.overdue), retries)
	}
}

// TestBatchGathers: keys that arrive while a command is in flight join the next command, each key once, without a delay
// by a timer.
func TestBatchGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newReader(t, g)
		start := time.Now()
		r.read(number(1))
		if keys := <-g.asked; !slices.Equal(numbers(keys), []int64{1}) {
			t.Fatalf("alone: %v", keys)
		}
		for _, n := range []int64{2, 3, 2, 1, 3} {
			r.read(number(n))
		}
		g.answer <- struct{}{}
		if keys := <-g.asked; !slices.Equal(numbers(keys), []int64{2, 3, 1}) {
			t.Fatalf("together: %v", keys)
		}
		g.answer <- struct{}{}
		r.wait.Wait()
		r.expectIdle()
		r.read(number(4))
		<-g.asked
		g.answer <- struct{}{}
		r.wait.Wait()
		if waited := time.Since(start); waited != 0 {
			t.Errorf("it took %v", waited)
		}
	})
}

func TestBatchIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newReader(t, g)
		for n := range int64(2*maxBatch + 11) {
			r.read(number(n))
		}
		for _, want := range []int{1, maxBatch, maxBatch, 10} {
			if keys := <-g.asked; len(keys) != want {
				t.Errorf("%d keys, want %d", len(keys), want)
			}
			g.answer <- struct{}{}
		}
		r.wait.Wait()
		r.expectIdle()
	})
}

// TestBatchOfAList: the keys of one read are one command, which does not wait for others.
func TestBatchOfAList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newReader(t, g)
		r.read(number(1))
		<-g.asked
		result := r.tryRead(t.Context(), number(2), number(3))
		if keys := <-g.asked; !slices.Equal(numbers(keys), []int64{2, 3}) {
			t.Fatalf("the command reads %v", keys)
		}
		g.answer <- struct{}{}
		g.answer <- struct{}{}
		if found := <-result; string(found[0].JSON) != "2" || string(found[1].JSON) != "3" {
			t.Errorf("found %v", found)
		}
		r.wait.Wait()
		r.expectIdle()
	})
}

// TestBatchCallersLeave: a caller that leaves does not affect others. The command of its key continues, so that its
// connection stays open; a waiting key without a caller is not read. The error is why the caller leaves.
func TestBatchCallersLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newReader(t, g)
		ctx, leave := context.WithCancelCause(t.Context())
		first := r.tryRead(ctx, number(1))
		<-g.asked
		r.read(number(2))
		r.read(number(3))
		waiting := r.tryRead(ctx, number(4))
		shared := r.tryRead(ctx, number(3))
		leave(context.DeadlineExceeded)
		for _, result := range []<-chan []Extension{first, waiting, shared} {
			if found := <-result; !errors.Is(found[0].Err, context.DeadlineExceeded) {
				t.Errorf("the caller that left got %v", found)
			}
		}
		g.answer <- struct{}{}
		if err := <-g.ended; err != nil {
			t.Errorf("the command was canceled: %v", err)
		}
		if keys := <-g.asked; !slices.Equal(numbers(keys), []int64{2, 3}) {
			t.Errorf("the command reads %v", keys)
		}
		g.answer <- struct{}{}
		r.wait.Wait()
		r.expectIdle()
	})
}

// TestBatchGroups: keys of different groups do not wait for each other.
func TestBatchGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newReader(t, g)
		for _, shop := range []string{"north", "south"} {
			for n := range int64(3) {
				r.read(Key{{Type: String, Text: shop}, {Type: Int64, Int: n}})
			}
		}
		if a, b := <-g.asked, <-g.asked; a[0][0] == b[0][0] {
			t.Errorf("%v and %v", a, b)
		}
		for range 4 {
			g.answer <- struct{}{}
		}
		for range 2 {
			if keys := <-g.asked; len(keys) != 2 || keys[0][0] != keys[1][0] {
				t.Errorf("together: %v", keys)
			}
		}
		r.wait.Wait()
		r.expectIdle()
	})
}

// TestBatchGroupNames: different values of conditions never have the same group.
func TestBatchGroupNames(t *testing.T) {
	text := func(s string) Value { return Value{Type: String, Text: s} }
	last := Value{Type: Int64, Int: 7}
	for _, between := range []string{"\x00", "\x00" + string(rune(String)), ":", string(rune(String)) + "1:"} {
		one, other := Key{text("a" + between + "b"), text("c"), last}, Key{text("a"), text("b" + between + "c"), last}
		if one.Prefix() == other.Prefix() {
			t.Errorf("%q and %q have the same group", one, other)
		}
	}
}

// TestPanicOfACommand: a panic in the Store is the error of each key of the command.
func TestPanicOfACommand(t *testing.T) {
	store := Batch(storeFunc(func(_ context.Context, keys []Key) []Extension {
		if slices.Contains(numbers(keys), 3) {
			panic("key 3")
		}
		return extensionsOf(keys, nil)
	}))
	found := store.Find(t.Context(), &Source{}, []Key{number(2), number(3), number(4)})
	var panicked *PanicError
	if found[0].Err != nil || !errors.As(found[1].Err, &panicked) || found[2].Err != nil {
		t.Fatalf("found %v", found)
	}
	if panicked.Value != "key 3" || !strings.Contains(string(panicked.Stack), "TestPanicOfACommand") {
		t.Errorf("%v\n%s", panicked, panicked.Stack)
	}
}

// TestBatchUnderLoad: callers that stay get their own values while others come and leave.
func TestBatchUnderLoad(t *testing.T) { synctest.Test(t, batchUnderLoad) }

func batchUnderLoad(t *testing.T) {
	r := newReader(t, storeFunc(func(ctx context.Context, keys []Key) []Extension {
		time.Sleep(rand.N(3 * time.Millisecond))
		return extensionsOf(keys, ctx.Err())
	}))
	for range 32 {
		r.wait.Go(func() {
			for range 500 {
				n := rand.Int64N(50)
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(3) == 0 {
					time.AfterFunc(rand.N(2*time.Millisecond), cancel)
				}
				ext := r.store.Find(ctx, r.src, []Key{number(n)})[0]
				if ext.Err == nil && string(ext.JSON) != fmt.Sprint(n) || ext.Err != nil && ctx.Err() == nil {
					t.Errorf("%d: %s, %v", n, ext.JSON, ext.Err)
				}
				cancel()
			}
		})
	}
	r.wait.Wait()
	time.Sleep(maxCommandTime)
	r.expectIdle()
}
