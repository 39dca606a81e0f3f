package mongostore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"weft/enrich"
)

// gate is a server that answers when it is told to.
type gate struct {
	asked  chan []enrich.Key // each command
	answer chan struct{}     // one for each
	ended  chan error        // of the context of each, when it was answered
}

func newGate() *gate {
	return &gate{asked: make(chan []enrich.Key, 100), answer: make(chan struct{}, 100), ended: make(chan error, 100)}
}

func (g *gate) read(ctx context.Context, keys []enrich.Key) []enrich.Extension {
	g.asked <- keys
	select {
	case <-g.answer:
	case <-ctx.Done():
	}
	g.ended <- ctx.Err()
	found := make([]enrich.Extension, len(keys))
	for i, k := range keys {
		found[i] = enrich.Extension{JSON: []byte(k[len(k)-1].String()), Err: ctx.Err()}
	}
	return found
}

// find waits for an extension, or until ctx ends.
func find(ctx context.Context, b *batcher, key enrich.Key) enrich.Extension {
	found := make(chan enrich.Extension, 1)
	giveUp := b.find(key, func(ext enrich.Extension) { found <- ext })
	select {
	case ext := <-found:
		return ext
	case <-ctx.Done():
		giveUp()
		return enrich.Extension{Err: ctx.Err()}
	}
}

// numbers spells the last values of keys.
func numbers(keys []enrich.Key) (ns []int64) {
	for _, k := range keys {
		ns = append(ns, k[len(k)-1].Int)
	}
	return ns
}

// TestBatch: what comes while a command is under way goes with the next one, each key once, and nothing waits for time.
func TestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		b := batcher{read: g.read}
		start := time.Now()
		var asking sync.WaitGroup
		ask := func(n int64) {
			asking.Go(func() {
				if ext := find(t.Context(), &b, number(n)[0]); ext.Err != nil || string(ext.JSON) != fmt.Sprint(n) {
					t.Errorf("%d: %s, %v", n, ext.JSON, ext.Err)
				}
			})
			synctest.Wait()
		}
		ask(1)
		if keys := <-g.asked; !slices.Equal(numbers(keys), []int64{1}) {
			t.Fatalf("alone: %v", keys)
		}
		for _, n := range []int64{2, 3, 2, 1, 3} {
			ask(n)
		}
		g.answer <- struct{}{}
		if keys := <-g.asked; !slices.Equal(numbers(keys), []int64{2, 3, 1}) {
			t.Fatalf("together: %v", keys)
		}
		g.answer <- struct{}{}
		asking.Wait()
		synctest.Wait()
		if len(b.groups) != 0 {
			t.Error("a group is left")
		}
		ask(4)
		<-g.asked
		g.answer <- struct{}{}
		asking.Wait()
		if waited := time.Since(start); waited != 0 {
			t.Errorf("it took %v", waited)
		}
	})
}

// TestBatchIsCapped: what is over the cap goes with the command after.
func TestBatchIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		b := batcher{read: g.read}
		var asking sync.WaitGroup
		for n := range int64(2*maxBatch + 11) {
			asking.Go(func() { find(t.Context(), &b, number(n)[0]) })
			synctest.Wait()
		}
		for _, want := range []int{1, maxBatch, maxBatch, 10} {
			if keys := <-g.asked; len(keys) != want {
				t.Errorf("%d keys, want %d", len(keys), want)
			}
			g.answer <- struct{}{}
		}
		asking.Wait()
	})
}

// TestBatchCallersGo: one who goes takes nothing from others; a command that somebody gave up on holds nobody up; and when
// all have gone, it ends.
func TestBatchCallersGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		b := batcher{read: g.read}
		ask := func(ctx context.Context, n int64) chan error {
			result := make(chan error, 1)
			go func() { result <- find(ctx, &b, number(n)[0]).Err }()
			synctest.Wait()
			return result
		}
		stuck, goAway := context.WithCancel(t.Context())
		first := ask(stuck, 1)
		<-g.asked
		second, third, away := ask(t.Context(), 2), ask(t.Context(), 3), ask(stuck, 4)
		goAway()
		for _, result := range []chan error{first, away} {
			if err := <-result; !errors.Is(err, context.Canceled) {
				t.Errorf("who went got %v", err)
			}
		}
		if err := <-g.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("a command for nobody ended with %v", err)
		}
		// The others did not wait for the end of that; and who has gone is not asked for.
		if keys := <-g.asked; !slices.Equal(numbers(keys), []int64{2, 3}) && !slices.Equal(numbers(keys), []int64{2, 3, 4}) {
			t.Errorf("asked for %v", keys)
		}
		g.answer <- struct{}{}
		for _, result := range []chan error{second, third} {
			if err := <-result; err != nil {
				t.Errorf("who stayed got %v", err)
			}
		}
		synctest.Wait()
		if len(b.groups) != 0 {
			t.Error("a group is left")
		}
	})
}

// TestBatchGroups: keys that cannot be in one command do not wait for each other.
func TestBatchGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		b := batcher{read: g.read}
		var asking sync.WaitGroup
		for _, shop := range []string{"north", "south"} {
			for n := range int64(3) {
				asking.Go(func() {
					find(t.Context(), &b, enrich.Key{{Type: enrich.String, Text: shop}, {Type: enrich.Int64, Int: n}})
				})
				synctest.Wait()
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
		asking.Wait()
	})
}

// TestBatchSharedKey: of two who ask for the same key, one goes, before it is asked for or when it is. The other gets it.
func TestBatchSharedKey(t *testing.T) {
	for _, underWay := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			g := newGate()
			b := batcher{read: g.read}
			b.find(number(1)[0], func(enrich.Extension) {})
			synctest.Wait()
			var got []enrich.Extension
			goAway := b.find(number(2)[0], func(enrich.Extension) {})
			b.find(number(2)[0], func(ext enrich.Extension) { got = append(got, ext) })
			if !underWay {
				goAway()
			}
			g.answer <- struct{}{}
			synctest.Wait()
			if underWay {
				goAway()
			}
			g.answer <- struct{}{}
			synctest.Wait()
			if len(got) != 1 || got[0].Err != nil || string(got[0].JSON) != "2" {
				t.Errorf("gone while it was under way %v: who stayed got %v", underWay, got)
			}
			if len(b.groups) != 0 || len(g.asked) != 2 {
				t.Errorf("%d groups are left after %d commands", len(b.groups), len(g.asked))
			}
		})
	}
}

// TestBatchGroupNames: no text of one condition is taken for that of another.
func TestBatchGroupNames(t *testing.T) {
	text := func(s string) enrich.Value { return enrich.Value{Type: enrich.String, Text: s} }
	last := enrich.Value{Type: enrich.Int64, Int: 7}
	for _, between := range []string{"\x00", "\x00" + string(rune(enrich.String)), ":", string(rune(enrich.String)) + "1:"} {
		one, other := enrich.Key{text("a" + between + "b"), text("c"), last}, enrich.Key{text("a"), text("b" + between + "c"), last}
		if groupOf(one) == groupOf(other) {
			t.Errorf("%q and %q go together", one, other)
		}
	}
}

// TestBatchUnderLoad: whoever stays gets their own, while others come and go.
func TestBatchUnderLoad(t *testing.T) { synctest.Test(t, batchUnderLoad) }

func batchUnderLoad(t *testing.T) {
	b := batcher{read: func(ctx context.Context, keys []enrich.Key) []enrich.Extension {
		found := make([]enrich.Extension, len(keys))
		for i, k := range keys {
			found[i] = enrich.Extension{JSON: []byte(k[0].String()), Err: ctx.Err()}
		}
		return found
	}}
	var asking sync.WaitGroup
	for range 32 {
		asking.Go(func() {
			for range 500 {
				n := rand.Int64N(50)
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(3) == 0 {
					go cancel()
				}
				ext := find(ctx, &b, number(n)[0])
				if ext.Err == nil && string(ext.JSON) != fmt.Sprint(n) || ext.Err != nil && ctx.Err() == nil {
					t.Errorf("%d: %s, %v", n, ext.JSON, ext.Err)
				}
				cancel()
			}
		})
	}
	asking.Wait()
	synctest.Wait()
	if len(b.groups) != 0 {
		t.Error("a group is left")
	}
}
