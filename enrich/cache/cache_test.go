package cache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weft/enrich"
	"weft/test/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("no reachable servers")

// harness is a cache whose reads of the database a test ends, and whose changes it reports.
type harness struct {
	t       *testing.T
	src     *enrich.Source
	cache   *Store
	to      enrich.Changes
	watched []context.Context // of the calls of watch
	reads   chan *heldRead
}

// heldRead is a read of the database that a test ends.
type heldRead struct {
	keys   []enrich.Key
	answer chan []enrich.Extension
}

func newHarness(t *testing.T) *harness {
	h := &harness{t: t, src: testSource(), reads: make(chan *heldRead, 100)}
	h.cache = New(h, func(ctx context.Context, _ []*enrich.Source, to enrich.Changes) {
		h.to, h.watched = to, append(h.watched, ctx)
		<-ctx.Done()
	})
	h.use(h.src)
	return h
}

// testSource returns a source whose documents and keys practically never share a slot by chance; see history.
func testSource() *enrich.Source {
	src := storetest.Source()
	src.Cache = &enrich.CachePolicy{MaxSize: 256 << 20, MaxAge: time.Minute, StaleIfError: 10 * time.Minute}
	return src
}

func (h *harness) use(sources ...*enrich.Source) {
	h.cache.Use([]*enrich.Rule{{Sources: sources}})
	synctest.Wait()
}

// Find implements [enrich.Store].
func (h *harness) Find(ctx context.Context, _ *enrich.Source, keys []enrich.Key) []enrich.Extension {
	r := &heldRead{keys: keys, answer: make(chan []enrich.Extension)}
	h.reads <- r
	select {
	case found := <-r.answer:
		return found
	case <-ctx.Done():
		return []enrich.Extension{{Err: ctx.Err()}}
	}
}

func key(n int64) enrich.Key { return enrich.Key{{Type: enrich.Int64, Int: n}} }

// document is the result of a read that found a document.
func document(id, text string) enrich.Extension { return enrich.Extension{JSON: []byte(text), ID: id} }

// start starts a read of key 7 that the cache does not have, and returns its two ends.
func (h *harness) start(ctx context.Context) (*heldRead, <-chan enrich.Extension) {
	h.t.Helper()
	result := make(chan enrich.Extension, 1)
	go func() { result <- h.cache.Find(ctx, h.src, []enrich.Key{key(7)})[0] }()
	synctest.Wait()
	select {
	case r := <-h.reads:
		return r, result
	default:
		h.t.Fatalf("no read of the database; the cache returned %+v", <-result)
		return nil, nil
	}
}

func (h *harness) end(r *heldRead, ext enrich.Extension) {
	r.answer <- []enrich.Extension{ext}
	synctest.Wait()
}

// read reads key 7 from the database.
func (h *harness) read(ext enrich.Extension) enrich.Extension {
	h.t.Helper()
	r, result := h.start(h.t.Context())
	h.end(r, ext)
	return <-result
}

// expectHit checks that the cache has a result for key 7.
func (h *harness) expectHit(want enrich.Extension) {
	h.t.Helper()
	ext := h.cache.Find(canceled(), h.src, []enrich.Key{key(7)})[0]
	if ext.Cache != enrich.CacheHit || !isSame(ext, want) || ext.Stale != nil || ext.Command != nil {
		h.t.Errorf("%+v, want a hit of %+v", ext, want)
	}
}

// expectMiss checks that key 7 is read from the database. The read fails.
func (h *harness) expectMiss() {
	h.t.Helper()
	if ext := h.read(enrich.Extension{Err: enrich.ErrOverloaded}); ext.Cache == enrich.CacheHit {
		h.t.Errorf("%+v", ext)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func (h *harness) current() { h.to.Current(time.Now()) }

func test(t *testing.T, f func(h *harness)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		defer h.cache.Close()
		h.to.Begin()
		h.current()
		f(h)
	})
}

// TestKept: what the database responded is kept, other errors are not.
func TestKept(t *testing.T) {
	for name, ext := range map[string]enrich.Extension{
		"document":         document("a", `{"n":1}`),
		"no document":      {Err: enrich.ErrNotFound},
		"invalid document": {Err: fmt.Errorf("field n: %w", enrich.ErrWrongType), ID: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(h *harness) {
				with := ext
				with.Command = &enrich.Command{}
				if got := h.read(with); got.Cache != enrich.CacheMiss || got.Command != with.Command {
					t.Errorf("%+v", got)
				}
				h.expectHit(ext)
			})
		})
	}
	for _, err := range []error{errDown, context.DeadlineExceeded, enrich.ErrOverloaded} {
		test(t, func(h *harness) {
			if got := h.read(enrich.Extension{Err: err}); !errors.Is(got.Err, err) {
				t.Errorf("%+v", got)
			}
			h.expectMiss()
		})
	}
}

// TestUsedUntil: a result is used until it is too old, changes, or changes are not reported.
func TestUsedUntil(t *testing.T) {
	other := testSource()
	for name, event := range map[string]struct {
		happens func(h *harness)
		isUsed  bool
	}{
		"nothing":                  {func(*harness) {}, true},
		"another document changes": {func(h *harness) { h.to.Change("b") }, true},
		"another key matches":      {func(h *harness) { h.to.Match(h.src, key(8)) }, true},
		"key of another source":    {func(h *harness) { h.to.Match(other, key(7)) }, true},
		"an equal source": {func(h *harness) {
			equal := testSource()
			h.use(h.src, equal)
			h.to.Begin()
			h.current()
			h.read(document("a", `{"n":1}`))
			h.src = equal
			if s := h.cache.Stats()[0]; s.Entries != 1 || s.Misses != 2 {
				h.t.Errorf("%+v", s)
			}
		}, true},
		"the document changes":       {func(h *harness) { h.to.Change("a") }, false},
		"the key matches":            {func(h *harness) { h.to.Match(h.src, key(7)) }, false},
		"any document may change":    {func(h *harness) { h.to.ChangeAny() }, false},
		"changes may be missed":      {func(h *harness) { h.to.Begin(); h.current() }, false},
		"the stream ends":            {func(h *harness) { h.to.Lost() }, false},
		"the stream is resumed":      {func(h *harness) { h.to.Lost(); h.current() }, true},
		"silence":                    {func(*harness) { time.Sleep(maxSilence) }, false},
		"almost silence":             {func(*harness) { time.Sleep(maxSilence - 1) }, true},
		"silence of an unsupported":  {func(h *harness) { h.to.Unsupported(); time.Sleep(59 * time.Second) }, true},
		"age of an unsupported":      {func(h *harness) { h.to.Unsupported(); time.Sleep(time.Minute) }, false},
		"streams are supported":      {func(h *harness) { h.to.Unsupported(); h.to.Begin(); h.current() }, false},
		"streams were not supported": {func(h *harness) { h.to.Unsupported(); h.to.Begin() }, false},
		"age": {func(h *harness) {
			for range 60 {
				time.Sleep(time.Second)
				h.current()
			}
		}, false},
		"the same source in new rules": {func(h *harness) {
			h.src = testSource()
			h.use(h.src)
		}, true},
		"another field in new rules": {func(h *harness) {
			h.src = testSource()
			h.src.Fields = h.src.Fields[1:]
			h.use(h.src)
			h.to.Begin()
			h.current()
		}, false},
		"another policy in new rules": {func(h *harness) {
			h.src = testSource()
			h.src.Cache.MaxAge++
			h.use(h.src)
			h.to.Begin()
			h.current()
		}, false},
		"the source of old rules": {func(h *harness) { h.use() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(h *harness) {
				a := document("a", `{"n":1}`)
				h.read(a)
				event.happens(h)
				if event.isUsed {
					h.expectHit(a)
				} else {
					h.expectMiss()
				}
			})
		})
	}
}

// TestOvertakenReads: a change that is reported while a read is running outdates its result.
func TestOvertakenReads(t *testing.T) {
	for name, change := range map[string]func(h *harness){
		"document": func(h *harness) { h.to.Change("a") },
		"key":      func(h *harness) { h.to.Match(h.src, key(7)) },
		"any":      func(h *harness) { h.to.ChangeAny() },
		"gap":      func(h *harness) { h.to.Begin(); h.current() },
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(h *harness) {
				r, result := h.start(h.t.Context())
				change(h)
				h.end(r, document("a", `{"n":1}`))
				<-result
				h.expectMiss()
			})
		})
	}
}

// TestConcurrentReads: if two reads that run at the same time return different results, neither is used again, nor is
// that of a third one.
func TestConcurrentReads(t *testing.T) {
	older, newer := document("a", `{"n":1}`), document("a", `{"n":2}`)
	test(t, func(h *harness) {
		first, _ := h.start(h.t.Context())
		second, _ := h.start(h.t.Context())
		third, _ := h.start(h.t.Context())
		h.end(first, older)
		h.end(second, newer)
		h.end(third, older)
		h.expectMiss()
		h.read(newer)
		h.expectHit(newer)
	})
	// The document has changed and changed back while the second read was running.
	test(t, func(h *harness) {
		second, _ := h.start(h.t.Context())
		first, _ := h.start(h.t.Context())
		h.end(first, older)
		h.to.Lost() // the next read passes
		third, _ := h.start(h.t.Context())
		h.current()
		h.end(second, older)
		h.end(third, newer)
		h.expectMiss()
	})
	// Reads with the same result do not affect each other.
	test(t, func(h *harness) {
		first, _ := h.start(h.t.Context())
		h.to.Change("a")
		second, _ := h.start(h.t.Context())
		third, _ := h.start(h.t.Context())
		h.end(second, older)
		h.end(first, older)
		h.end(third, older)
		h.expectHit(older)
	})
}

// TestStaleIfError: an older result replaces a failed read, unless it is too old or known to have changed.
func TestStaleIfError(t *testing.T) {
	a := document("a", `{"n":1}`)
	for name, use := range map[string]struct {
		kept    enrich.Extension
		happens func(h *harness)
		err     error
		isStale bool
	}{
		"too old":         {a, func(*harness) { time.Sleep(time.Minute) }, errDown, true},
		"not too old yet": {a, func(*harness) { time.Sleep(11*time.Minute - 1) }, errDown, true},
		"much too old":    {a, func(*harness) { time.Sleep(11 * time.Minute) }, errDown, false},
		"lost":            {a, func(h *harness) { h.to.Lost() }, errDown, true},
		"gap":             {a, func(h *harness) { h.to.Begin() }, errDown, true},
		"changed":         {a, func(h *harness) { h.to.Change("a") }, errDown, false},
		"any":             {a, func(h *harness) { h.to.ChangeAny() }, errDown, false},
		"no document":     {enrich.Extension{Err: enrich.ErrNotFound}, func(h *harness) { h.to.Lost() }, errDown, true},
		"invalid document": {
			enrich.Extension{Err: enrich.ErrWrongType, ID: "a"}, func(h *harness) { h.to.Lost() }, errDown, false,
		},
		"overloaded": {a, func(h *harness) { h.to.Lost() }, enrich.ErrOverloaded, true},
		"a bug":      {a, func(h *harness) { h.to.Lost() }, &enrich.PanicError{}, false},
		"not configured": {a, func(h *harness) {
			h.to.Lost()
			h.src.Cache.StaleIfError = 0
		}, errDown, false},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(h *harness) {
				h.read(use.kept)
				use.happens(h)
				ext := h.read(enrich.Extension{Err: use.err})
				switch {
				case !use.isStale && (!errors.Is(ext.Err, use.err) || ext.Stale != nil || ext.JSON != nil):
					t.Errorf("%+v, want %v", ext, use.err)
				case use.isStale && (ext.Cache != enrich.CacheStale || !isSame(ext, use.kept) ||
					!errors.Is(ext.Stale, use.err)):
					t.Errorf("%+v, want %+v", ext, use.kept)
				}
			})
		})
	}
}

// TestStaleIfLate: a read whose budget is used up has failed; a read that nobody waits for has not.
func TestStaleIfLate(t *testing.T) {
	for cause, isStale := range map[error]bool{context.DeadlineExceeded: true, context.Canceled: false} {
		test(t, func(h *harness) {
			a := document("a", `{"n":1}`)
			h.read(a)
			h.to.Lost()
			ctx, cancel := context.WithCancelCause(h.t.Context())
			_, result := h.start(ctx)
			cancel(cause)
			ext := <-result
			if isStale != (ext.Cache == enrich.CacheStale) || isStale != errors.Is(ext.Stale, cause) ||
				isStale == errors.Is(ext.Err, cause) {
				t.Errorf("%v: %+v", cause, ext)
			}
		})
	}
}

// TestListOfKeys: only keys that are not in the cache are read.
func TestListOfKeys(t *testing.T) {
	test(t, func(h *harness) {
		h.read(document("a", `{"n":7}`))
		result := make(chan []enrich.Extension, 1)
		go func() { result <- h.cache.Find(h.t.Context(), h.src, []enrich.Key{key(6), key(7), key(8)}) }()
		r := <-h.reads
		if len(r.keys) != 2 || r.keys[0][0] != key(6)[0] || r.keys[1][0] != key(8)[0] {
			t.Errorf("read %v", r.keys)
		}
		r.answer <- []enrich.Extension{document("b", `{"n":6}`), {Err: enrich.ErrNotFound}}
		found := <-result
		if string(found[0].JSON)+string(found[1].JSON) != `{"n":6}{"n":7}` || !errors.Is(found[2].Err, enrich.ErrNotFound) {
			t.Errorf("%+v", found)
		}
		s := h.cache.Stats()[0]
		if s.Hits != 1 || s.Misses != 3 || s.Entries != 3 || !s.Follows || s.Collection != "documents" {
			t.Errorf("%+v", s)
		}
		go func() { result <- h.cache.Find(h.t.Context(), h.src, []enrich.Key{key(9), key(10)}) }()
		(<-h.reads).answer <- []enrich.Extension{{}} // a bug of the store
		if found := <-result; len(found) != 0 {
			t.Errorf("%+v", found)
		}
	})
}

// TestSeveralConditions: keys that differ in any value are different.
func TestSeveralConditions(t *testing.T) {
	test(t, func(h *harness) {
		text := func(a, b string) enrich.Key {
			return enrich.Key{{Type: enrich.String, Text: a}, {Type: enrich.String, Text: b}}
		}
		for i, k := range []enrich.Key{text("a", "b"), text("b", "a"), text("a", "a"), text("ab", ""), text("", "ab")} {
			result := make(chan []enrich.Extension, 1)
			go func() { result <- h.cache.Find(h.t.Context(), h.src, []enrich.Key{k}) }()
			synctest.Wait()
			select {
			case r := <-h.reads:
				r.answer <- []enrich.Extension{document(fmt.Sprint(i), fmt.Sprint(i))}
				<-result
			default:
				t.Errorf("%v has the result of another key: %s", k, (<-result)[0].JSON)
			}
		}
	})
}

// selecting returns a rule whose requests select fields of its source.
func selecting(src *enrich.Source) *enrich.Rule {
	src.Name = "x"
	return enrich.Rule{Sources: []*enrich.Source{src}, Select: enrich.Select{Param: "fields"}}.Ready()
}

// TestSelectedFields: all selections of fields share the results of reads of all fields.
func TestSelectedFields(t *testing.T) {
	whole := testSource()
	whole.Fields = []enrich.Field{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	rule := selecting(whole)
	document := document("1", `{"a":1,"b":[{"a":2}],"c":"{,}"}`)
	invalid := enrich.Extension{Err: fmt.Errorf("field c: %w", enrich.ErrWrongType), ID: "1"}
	prepare := func(h *harness) (selectFields func(names string)) {
		h.use(rule.Sources...)
		h.to.Begin()
		h.current()
		return func(names string) {
			narrowed, _, _ := rule.Narrow("/?fields=" + names)
			h.src = narrowed.Sources[0]
		}
	}
	test(t, func(h *harness) {
		selectFields := prepare(h)
		for _, first := range []string{"x", "x.b,x.a"} {
			selectFields(first)
			h.read(document)
			for names, want := range map[string]string{
				"x": string(document.JSON), "x.c,x.b,x.a": string(document.JSON),
				"x.a": `{"a":1}`, "x.b": `{"b":[{"a":2}]}`, "x.c": `{"c":"{,}"}`, "x.c,x.a": `{"a":1,"c":"{,}"}`,
			} {
				selectFields(names)
				h.expectHit(enrich.Extension{JSON: []byte(want), ID: "1"})
			}
			h.to.Match(whole, key(7))
		}
		selectFields("x.a")
		h.read(enrich.Extension{Err: enrich.ErrNotFound})
		selectFields("x.b")
		h.expectHit(enrich.Extension{Err: enrich.ErrNotFound})
	})
	// A request for valid fields of an invalid document reads these.
	test(t, func(h *harness) {
		selectFields := prepare(h)
		a := enrich.Extension{JSON: []byte(`{"a":1}`), ID: "1"}
		selectFields("x.a")
		r, result := h.start(h.t.Context())
		h.end(r, invalid)
		h.end(<-h.reads, a)
		if got := <-result; !isSame(got, a) || got.Cache != enrich.CacheMiss {
			t.Errorf("%+v", got)
		}
		if got := h.read(a); !isSame(got, a) || got.Cache != enrich.CacheMiss {
			t.Errorf("%+v", got)
		}
		if got := h.read(enrich.Extension{Err: errDown}); !errors.Is(got.Err, errDown) {
			t.Errorf("%+v", got)
		}
		selectFields("x")
		h.expectHit(invalid)

		// The result of another read may be older.
		h.to.Lost()
		other, _ := h.start(h.t.Context())
		h.current()
		selectFields("x.a")
		h.read(a)
		selectFields("x")
		h.end(other, document)
		h.expectMiss()
	})
}

// heap returns the size of the objects in memory.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestUnavailable: while the database cannot be read, an older result replaces a read at once.
func TestUnavailable(t *testing.T) {
	test(t, func(h *harness) {
		var isAvailable atomic.Bool
		h.cache.IsAvailable = isAvailable.Load
		a := document("a", `{"n":1}`)
		h.read(a) // there is no older result
		h.expectHit(a)
		h.to.Lost()
		find := func(n int64) enrich.Extension { return h.cache.Find(canceled(), h.src, []enrich.Key{key(n)})[0] }
		if ext := find(7); !isSame(ext, a) || ext.Cache != enrich.CacheStale || !errors.Is(ext.Stale, errUnavailable) {
			t.Errorf("%+v", ext)
		}
		if len(h.reads) != 0 {
			t.Error("the database was read")
		}
		result := make(chan []enrich.Extension, 1)
		go func() { result <- h.cache.Find(h.t.Context(), h.src, []enrich.Key{key(6), key(7), key(8)}) }()
		r := <-h.reads
		if len(r.keys) != 2 || r.keys[0][0] != key(6)[0] || r.keys[1][0] != key(8)[0] {
			t.Errorf("read %v", r.keys)
		}
		r.answer <- []enrich.Extension{{Err: errDown}, {Err: enrich.ErrNotFound}}
		found := <-result
		if !errors.Is(found[0].Err, errDown) || !isSame(found[1], a) || !errors.Is(found[2].Err, enrich.ErrNotFound) {
			t.Errorf("%+v", found)
		}
		if ext := find(8); ext.Cache != enrich.CacheStale || !errors.Is(ext.Err, enrich.ErrNotFound) {
			t.Errorf("%+v", ext)
		}
		if s := h.cache.Stats()[0]; s.Stale != 3 {
			t.Errorf("%+v", s)
		}
		isAvailable.Store(true)
		if got := h.read(a); got.Cache != enrich.CacheMiss {
			t.Errorf("%+v", got)
		}
		isAvailable.Store(false)
		h.to.Change("a")
		h.expectMiss()
	})
}

// TestCounters: new rules do not reset the counters of a collection.
func TestCounters(t *testing.T) {
	test(t, func(h *harness) {
		h.read(document("a", `{"n":1}`))
		h.expectHit(document("a", `{"n":1}`))
		h.to.Change("b")
		h.use()
		if s := h.cache.Stats(); len(s) != 0 {
			t.Errorf("%+v", s)
		}
		h.src = testSource()
		h.src.Cache.MaxAge++
		h.use(h.src)
		if s := h.cache.Stats()[0]; s.Hits != 1 || s.Misses != 1 || s.Changes != 1 || s.Entries != 0 {
			t.Errorf("%+v", s)
		}
		h.expectMiss()
		if s := h.cache.Stats()[0]; s.Hits != 1 || s.Bypassed != 1 {
			t.Errorf("%+v", s)
		}
	})
}

// TestUse: the changes of each collection are watched once, until no rule needs them.
func TestUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		sameCollection, otherCollection, uncached := testSource(), testSource(), testSource()
		sameCollection.Name, otherCollection.Collection, uncached.Cache = "other", "others", nil
		running := func() (n int) {
			for _, ctx := range h.watched {
				if ctx.Err() == nil {
					n++
				}
			}
			return n
		}
		for _, test := range []struct {
			sources        []*enrich.Source
			began, running int
		}{
			{[]*enrich.Source{h.src, uncached}, 1, 1},
			{[]*enrich.Source{testSource(), otherCollection}, 2, 2},
			{[]*enrich.Source{testSource(), sameCollection, otherCollection}, 3, 2},
			{[]*enrich.Source{otherCollection}, 3, 1},
			{nil, 3, 0},
		} {
			h.use(test.sources...)
			if len(h.watched) != test.began || running() != test.running {
				t.Errorf("%d watched, %d still, want %d and %d", len(h.watched), running(), test.began, test.running)
			}
		}
		h.cache.Close()
	})
}

// TestWithoutPolicy: reads of other sources pass.
func TestWithoutPolicy(t *testing.T) {
	test(t, func(h *harness) {
		h.src = storetest.Source()
		if ext := h.read(document("", "{}")); ext.Cache != "" {
			t.Errorf("%+v", ext)
		}
		h.expectMiss()
	})
}

// TestStore: a cache passes the tests of every store.
func TestStore(t *testing.T) {
	storetest.Test(t, func(t *testing.T, source *enrich.Source, documents ...string) enrich.Store {
		source.Cache = testSource().Cache
		store := New(storetest.Mem(documents), func(ctx context.Context, _ []*enrich.Source, to enrich.Changes) {
			to.Begin()
			to.Current(time.Now())
			<-ctx.Done()
		})
		t.Cleanup(store.Close)
		store.Use([]*enrich.Rule{{Sources: []*enrich.Source{source}}})
		return store
	})
}
