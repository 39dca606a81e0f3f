package enrich

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestRetriesOfCallersThatLeave: a retry continues when its caller leaves, so that its connection stays open. It is
// canceled when another key needs its place.
func TestRetriesOfCallersThatLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newReader(t, g)
		ctx, leave := context.WithCancel(t.Context())
		r.tryRead(ctx, number(-1))
		<-g.asked
		for n := range int64(2 * maxRetries) {
			r.tryRead(ctx, number(n))
		}
		time.Sleep(2 * minOverdue) // both commands are overdue
		synctest.Wait()
		if keys := <-g.asked; len(keys) != 2*maxRetries || len(g.asked) != maxRetries {
			t.Fatalf("a command for %d keys, then %d", len(keys), len(g.asked))
		}
		leave()
		expectCanceled := func(want int) {
			t.Helper()
			synctest.Wait()
			if len(g.ended) != want {
				t.Fatalf("%d commands were canceled, want %d", len(g.ended), want)
			}
			for range want {
				if err := <-g.ended; !errors.Is(err, context.Canceled) {
					t.Errorf("canceled with %v", err)
				}
			}
		}
		r.read(number(-2)) // other callers may leave concurrently
		time.Sleep(abandonTime - 1)
		expectCanceled(0)
		time.Sleep(time.Nanosecond)
		expectCanceled(1)
		r.read(number(-3))
		expectCanceled(1)
		time.Sleep(time.Second)
		expectCanceled(0)
		for range 2 + maxRetries {
			g.answer <- struct{}{}
		}
		r.wait.Wait()
		synctest.Wait()
		for range 2 + maxRetries {
			if err := <-g.ended; err != nil {
				t.Errorf("a command was canceled: %v", err)
			}
		}
		r.expectIdle()
	})
}

// TestFailureIsIsolated: a command with a bad key fails, or is held. The other keys get their documents.
func TestFailureIsIsolated(t *testing.T) {
	failed := errors.New("shard north is down")
	for name, bad := range map[string]func(n int64) bool{
		"one of many":  func(n int64) bool { return n == 13 },
		"half of them": func(n int64) bool { return n%2 == 1 },
	} {
		for _, holds := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, holds=%t", name, holds), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := storeFunc(func(ctx context.Context, keys []Key) []Extension {
						time.Sleep(time.Millisecond)
						switch isBad := slices.ContainsFunc(numbers(keys), bad); {
						case isBad && holds:
							<-ctx.Done()
							return failAll(len(keys), ctx.Err())
						case isBad:
							return failAll(len(keys), failed)
						default:
							return extensionsOf(keys, nil)
						}
					})
					r := newReader(t, store)
					for list := range 2 { // keys arrive one by one, or in one read
						ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
						defer cancel()
						var results []<-chan []Extension
						var keys []Key
						for n := range int64(40) {
							keys = append(keys, number(n))
							if list == 0 {
								results = append(results, r.tryRead(ctx, number(n)))
							}
						}
						if list == 1 {
							results = append(results, r.tryRead(ctx, keys...))
						}
						n := int64(0)
						for _, result := range results {
							for _, ext := range <-result {
								if (ext.Err != nil) != bad(n) || ext.Err == nil && string(ext.JSON) != fmt.Sprint(n) {
									t.Errorf("%d: %s, %v", n, ext.JSON, ext.Err)
								}
								n++
							}
						}
					}
					r.wait.Wait()
					time.Sleep(maxCommandTime)
					r.expectIdle()
				})
			})
		}
	}
}

// TestFirstKeysFail: the first keys of a list belong to a failed shard. The others get their documents, since the
// database answers another read.
func TestFirstKeysFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		isBad := func(n int64) bool { return n < maxFailures+1 }
		r := newReader(t, storeFunc(func(_ context.Context, keys []Key) []Extension {
			time.Sleep(time.Millisecond)
			if slices.ContainsFunc(numbers(keys), isBad) {
				return failAll(len(keys), errors.New("shard north is down"))
			}
			return extensionsOf(keys, nil)
		}))
		var keys []Key
		for n := range int64(2 * maxFailures) {
			keys = append(keys, number(n))
		}
		result := r.tryRead(t.Context(), keys...)
		r.read(number(2 * maxFailures))
		for n, ext := range <-result {
			if (ext.Err != nil) != isBad(int64(n)) {
				t.Errorf("%d: %s, %v", n, ext.JSON, ext.Err)
			}
		}
		r.wait.Wait()
		r.expectIdle()
	})
}

// TestHeldKeysLeavePlaces: half of the keys are held, which are more than maxRetries. The others get their documents,
// and few commands are left.
func TestHeldKeysLeavePlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lists, each = 60, 10
		isHeld := func(n int64) bool { return n%2 == 1 }
		var underWay atomic.Int64
		r := newReader(t, storeFunc(func(ctx context.Context, keys []Key) []Extension {
			underWay.Add(1)
			defer underWay.Add(-1)
			time.Sleep(time.Millisecond)
			if slices.ContainsFunc(numbers(keys), isHeld) {
				<-ctx.Done()
				return failAll(len(keys), ctx.Err())
			}
			return extensionsOf(keys, nil)
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		var results []<-chan []Extension
		for list := range int64(lists) {
			var keys []Key
			for n := range int64(each) {
				keys = append(keys, number(list*each+n))
			}
			results = append(results, r.tryRead(ctx, keys...))
			time.Sleep(5 * time.Millisecond)
		}
		for list, result := range results {
			for n, ext := range <-result {
				if (ext.Err != nil) != isHeld(int64(n)) {
					t.Errorf("list %d, key %d: %v", list, n, ext.Err)
				}
			}
		}
		if n := underWay.Load(); n > maxRetries+maxHeld {
			t.Errorf("%d commands are left", n)
		}
		r.wait.Wait()
		time.Sleep(maxCommandTime)
		r.expectIdle()
	})
}

// TestHeldKeyIsRetriedAgain: the first retry of a key is held, for example because its connection is broken. The key is
// retried again, although more than maxRetries keys are held.
func TestHeldKeyIsRetriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		isHeld := func(n int64) bool { return n%2 == 1 }
		var isTried atomic.Bool // key 60
		r := newReader(t, storeFunc(func(ctx context.Context, keys []Key) []Extension {
			time.Sleep(time.Millisecond)
			if slices.ContainsFunc(numbers(keys), isHeld) || len(keys) == 1 && keys[0][0].Int == 60 && !isTried.Swap(true) {
				<-ctx.Done()
			}
			return extensionsOf(keys, ctx.Err())
		}))
		ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		var keys []Key
		for n := range int64(4 * maxRetries) {
			keys = append(keys, number(n))
		}
		for n, ext := range <-r.tryRead(ctx, keys...) {
			if isHeld(int64(n)) != (ext.Err != nil) {
				t.Errorf("%d: %s, %v", n, ext.JSON, ext.Err)
			}
		}
		r.wait.Wait()
		time.Sleep(maxCommandTime)
		r.expectIdle()
	})
}

// TestSlowListsAreReadOnce: the usual duration of a command is known from other commands, so that a list that takes as
// long is not overdue.
func TestSlowListsAreReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate()
		r := newReader(t, storeFunc(func(ctx context.Context, keys []Key) []Extension {
			time.Sleep(2 * minOverdue)
			return g.Find(ctx, nil, keys)
		}))
		for range 1000 {
			g.answer <- struct{}{}
		}
		for n := range int64(20) {
			r.read(number(n))
			r.wait.Wait()
			<-g.asked
		}
		<-r.tryRead(t.Context(), number(1), number(2))
		if keys := <-g.asked; len(keys) != 2 || len(g.asked) > 0 {
			t.Errorf("a command for %d keys, and %d other commands", len(keys), len(g.asked))
		}
		r.expectIdle()
	})
}

// TestOutageIsNotMultiplied: if the database fails every command, few commands follow a command for many keys.
func TestOutageIsNotMultiplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		commands := 0
		var mu sync.Mutex
		r := newReader(t, storeFunc(func(_ context.Context, keys []Key) []Extension {
			mu.Lock()
			defer mu.Unlock()
			commands++
			return failAll(len(keys), errors.New("not authorized"))
		}))
		keys := make([]Key, 200)
		for n := range keys {
			keys[n] = number(int64(n))
		}
		for _, ext := range <-r.tryRead(t.Context(), keys...) {
			if ext.Err == nil {
				t.Errorf("found %s", ext.JSON)
			}
		}
		if commands != 1+maxFailures {
			t.Errorf("%d commands", commands)
		}
	})
}

// TestNoAnswerIsAnError: any number of callers without a deadline get an error if the database never answers.
func TestNoAnswerIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader(t, storeFunc(func(ctx context.Context, keys []Key) []Extension {
			<-ctx.Done()
			return failAll(len(keys), ctx.Err())
		}))
		keys := make([]Key, 3*maxRetries)
		for n := range keys {
			keys[n] = number(int64(n))
		}
		for _, ext := range <-r.tryRead(t.Context(), keys...) {
			if !errors.Is(ext.Err, context.DeadlineExceeded) {
				t.Errorf("found %s, %v", ext.JSON, ext.Err)
			}
		}
		time.Sleep(maxCommandTime)
		r.expectIdle()
	})
}

// TestOverdueAfterTheEnd: the timer of a command can fire while the command ends. Then it changes nothing.
func TestOverdueAfterTheEnd(t *testing.T) {
	b := Batch(storeFunc(nil)).(*batch)
	g := &group{inFlight: 1}
	b.markOverdue(g, &command{hasEnded: true}, []*lookup{{key: number(1)}, {key: number(2)}})
	if g.inFlight != 1 || g.overdue != 0 || len(b.overdue) != 0 || len(b.retries.running) != 0 {
		t.Errorf("inFlight %d, overdue %d, %d overdue commands, %d retries", g.inFlight, g.overdue, len(b.overdue),
			len(b.retries.running))
	}
}

// TestListsOfADatabaseThatHangs: callers that arrive and leave do not accumulate commands.
func TestListsOfADatabaseThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running, most := 0, 0
		var mu sync.Mutex
		r := newReader(t, storeFunc(func(ctx context.Context, keys []Key) []Extension {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			<-ctx.Done()
			mu.Lock()
			running--
			mu.Unlock()
			return failAll(len(keys), ctx.Err())
		}))
		const callers, times, deadline = 10, 100, 20 * time.Millisecond
		for range callers {
			r.wait.Go(func() {
				for range times {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					r.store.Find(ctx, r.src, []Key{number(1), number(2)})
					cancel()
				}
			})
		}
		r.wait.Wait()
		mu.Lock()
		got := most
		mu.Unlock()
		// Until the first commands are overdue, each read is one command.
		if want := callers*int(minOverdue/deadline+1) + 2*maxRetries; got > want {
			t.Errorf("%d commands at a time for %d reads, want %d at most", got, callers*times, want)
		}
		time.Sleep(2 * maxCommandTime)
		r.expectIdle()
	})
}
