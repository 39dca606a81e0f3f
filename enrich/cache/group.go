package cache

import (
	"reflect"
	"slices"
	"sync/atomic"
	"time"

	"weft/enrich"
)

// group has the sources of one collection. It implements [enrich.Changes].
type group struct {
	sources []*enrich.Source
	tables  []*table // by source; sources with the same definition share one
	history *history
	stop    func() // ends the call of watch

	*counters
}

// counters count for a collection, with the sources of all rules that were used.
type counters struct{ hits, misses, bypassed, stale, changes atomic.Uint64 }

var _ enrich.Changes = (*group)(nil)

func newGroup(sources []*enrich.Source, c *counters) *group {
	maxSize := 0
	for _, src := range sources {
		maxSize += src.Cache.MaxSize
	}
	g := &group{sources: sources, history: newHistory(maxSize), counters: c}
	for i, src := range sources {
		same := slices.IndexFunc(sources[:i], func(other *enrich.Source) bool { return reflect.DeepEqual(other, src) })
		if same >= 0 {
			g.tables = append(g.tables, g.tables[same])
		} else {
			g.tables = append(g.tables, newTable(src.Cache, g.history, c))
		}
	}
	return g
}

// Begin implements [enrich.Changes].
func (g *group) Begin() { g.history.begin() }

// Change implements [enrich.Changes].
func (g *group) Change(id string) {
	g.changes.Add(1)
	if slot := g.history.slotOfID(id); slot >= 0 {
		g.history.outdate(slot)
	}
}

// Match implements [enrich.Changes].
func (g *group) Match(src *enrich.Source, key enrich.Key) {
	for i, other := range g.sources {
		if other == src {
			g.history.outdate(g.tables[i].slotOf(entryKeyOf(key)))
		}
	}
}

// ChangeAny implements [enrich.Changes].
func (g *group) ChangeAny() {
	g.changes.Add(1)
	g.history.outdateAll()
}

// Current implements [enrich.Changes].
func (g *group) Current(at time.Time) { g.history.follow(at) }

// Lost implements [enrich.Changes].
func (g *group) Lost() { g.history.lose(false) }

// Unsupported implements [enrich.Changes].
func (g *group) Unsupported() { g.history.lose(true) }

func (g *group) stats() Stats {
	s := Stats{
		Database: g.sources[0].Database, Collection: g.sources[0].Collection,
		Hits: g.hits.Load(), Misses: g.misses.Load(), Bypassed: g.bypassed.Load(), Stale: g.stale.Load(),
		Changes: g.changes.Load(), Follows: g.history.follows(time.Now()),
	}
	for i, t := range g.tables {
		if !slices.Contains(g.tables[:i], t) {
			t.entries.CleanUp() // otter counts writes and removals later, on other goroutines
			s.Entries += t.entries.EstimatedSize()
			s.Bytes += t.entries.WeightedSize()
		}
	}
	return s
}
