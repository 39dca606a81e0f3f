package cache

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"weft/enrich"
	"weft/test/storetest"
)

// TestMaxSize: the size of the results is bounded, and that of each.
func TestMaxSize(t *testing.T) {
	test(t, func(h *harness) {
		store := New(storetest.Mem(nil), func(context.Context, []*enrich.Source, enrich.Changes) {})
		defer store.Close()
		src := testSource()
		src.Cache.MaxSize = 100 * entrySize
		store.Use([]*enrich.Rule{{Sources: []*enrich.Source{src}}})
		for n := range int64(10_000) {
			store.Find(h.t.Context(), src, []enrich.Key{key(n)})
		}
		synctest.Wait()
		s := store.Stats()[0]
		if s.Entries < 50 || s.Entries > 100 || s.Bytes != uint64(s.Entries*entrySize) {
			t.Errorf("%+v, want at most 100 entries", s)
		}
	})
	test(t, func(h *harness) {
		h.src = testSource()
		h.src.Cache.MaxSize = 16 * 8000
		h.use(h.src)
		h.to.Begin()
		h.current()
		largest, larger := make([]byte, 8000-entrySize-1), make([]byte, 8000-entrySize)
		h.read(enrich.Extension{JSON: larger, ID: "a"})
		h.expectMiss()
		h.read(enrich.Extension{JSON: largest, ID: "a"})
		h.expectHit(enrich.Extension{JSON: largest, ID: "a"})

		// A document that is too large replaces another one, also that of a read which may have been before.
		h.to.Lost()
		first, _ := h.start(h.t.Context())
		h.read(enrich.Extension{JSON: larger, ID: "a"})
		h.end(first, enrich.Extension{JSON: largest, ID: "a"})
		h.current()
		h.expectMiss()
	})
}

// TestMemory: the size of results in memory is about what Stats says.
func TestMemory(t *testing.T) {
	for _, size := range []int{0, 1000} {
		src := testSource()
		src.Cache.MaxSize = 16 << 20
		store := New(nil, func(context.Context, []*enrich.Source, enrich.Changes) {})
		store.Use([]*enrich.Rule{{Sources: []*enrich.Source{src}}})
		results, before := store.used.Load().tables[src], heap()
		for n := range 20_000 {
			k := enrich.Key{{Type: enrich.String, Text: fmt.Sprint("user ", n)}}
			results.keep(entryKeyOf(k), enrich.Extension{JSON: make([]byte, size), ID: fmt.Sprint("id ", n)}, results.begin())
		}
		s := store.Stats()[0]
		actual := float64(heap() - before)
		t.Logf("%d results, %d bytes each: %d bytes, actually %.0f", s.Entries, size, s.Bytes, actual)
		if s.Entries < 10_000 || actual > 1.1*float64(s.Bytes) || actual < 0.5*float64(s.Bytes) {
			t.Errorf("%+v, actually %.0f bytes", s, actual)
		}
		store.Close()
	}
}
