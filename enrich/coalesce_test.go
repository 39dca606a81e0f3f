package enrich_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"weft/enrich"
)

// TestCoalesce: of concurrent requests for a core, one is sent. The others wait until its response is kept.
func TestCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := keptRule(t, enrich.KeepPolicy{Cache: true, Coalesce: true}, enrich.DegradeNever)
		cores := enrich.NewCores(newMemory(t), nil, nil)
		req, params := user7()
		first := cores.Recall(t.Context(), rule, params, req, "", time.Second)
		if _, isFresh := first.Fresh(); isFresh {
			t.Fatal("a core before there is one")
		}
		answers := make(chan string, 3)
		for range 3 {
			go func() {
				k := cores.Recall(t.Context(), rule, params, req, "", time.Second)
				defer k.Close()
				core, _ := k.Fresh()
				answers <- string(core.JSON)
			}()
		}
		synctest.Wait()
		if len(answers) > 0 {
			t.Fatal("a request did not wait for the first one")
		}
		save(first, rule, legacy200("max-age=60"), `{"v":1}`)
		first.Close()
		for range 3 {
			if got := <-answers; got != `{"v":1}` {
				t.Errorf("core %q", got)
			}
		}
	})
}

// TestCoalesceEnds: a request waits no longer than the budget, nor for a client that has disconnected. If the response
// is not kept, requests do not wait for each other.
func TestCoalesceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := keptRule(t, enrich.KeepPolicy{Cache: true, Coalesce: true}, enrich.DegradeNever)
		cores := enrich.NewCores(newMemory(t), nil, nil)
		req, params := user7()
		recall := func(ctx context.Context) *enrich.Kept {
			k := cores.Recall(ctx, rule, params, req, "", time.Second)
			if _, isFresh := k.Fresh(); isFresh {
				t.Error("a core before there is one")
			}
			return k
		}
		first, began := recall(t.Context()), time.Now()
		recall(t.Context()).Close()
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v", waited)
		}
		ctx, hangUp := context.WithCancel(t.Context())
		hangUp()
		recall(ctx).Close()
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("waited %v for a client that has hung up", waited)
		}
		waiting := make(chan *enrich.Kept)
		for range 2 {
			go func() { waiting <- recall(t.Context()) }()
		}
		synctest.Wait()
		save(first, rule, legacy200("no-store"), `{"v":1}`)
		first.Close()
		a, b := <-waiting, <-waiting // neither waits for the other one
		a.Close()
		b.Close()
	})
}

// TestNotCoalescedWhileStoreFails: a request does not wait for another one whose core it cannot get.
func TestNotCoalescedWhileStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := keptRule(t, enrich.KeepPolicy{Cache: true, Coalesce: true}, enrich.DegradeNever)
		cores := enrich.NewCores(failing{errors.New("down")}, newMemory(t), nil)
		req, params := user7()
		defer cores.Recall(t.Context(), rule, params, req, "", time.Second).Close()
		began := time.Now()
		defer cores.Recall(t.Context(), rule, params, req, "", time.Second).Close()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}

// TestCoalesceAfterPanic: requests do not wait for one whose store has panicked.
func TestCoalesceAfterPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := keptRule(t, enrich.KeepPolicy{Cache: true, Coalesce: true}, enrich.DegradeNever)
		cores := enrich.NewCores(failing{}, nil, nil)
		req, params := user7()
		func() {
			defer func() { _ = recover() }()
			k := cores.Recall(t.Context(), rule, params, req, "", time.Second)
			defer k.Close()
			save(k, rule, legacy200("max-age=60"), `{"v":1}`)
		}()
		began := time.Now()
		cores.Recall(t.Context(), rule, params, req, "", time.Second).Close()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}
