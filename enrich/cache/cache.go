// Package cache keeps extensions in memory. Changes that a store reports invalidate them.
package cache

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"weft/enrich"
)

// Store is a [enrich.Store] that keeps the results of another Store's reads, for sources with a cache policy. Reads of
// other sources pass. [Store.Use] sets the sources.
//
// A result is used again until a change of it is reported, but no longer than MaxAge. While changes are not reported,
// every read passes. Changes are reported with a delay, so a read may return the result before a change that was just
// written. Once a change is reported, later reads return its result or a newer one, and the result of a read that had
// begun before is not used again. Of two reads, one after the other, the second one does not return an older document
// if that is so for the other Store, and the result of the first one was not evicted because of MaxSize.
//
// If a read fails, or its context ends, an older result replaces it within StaleIfError, unless a change of that result
// was reported.
//
// Reads are of all fields of a source, and their results serve requests that select some of them. If a document is
// invalid, perhaps only because of another field, such a request reads its own fields.
type Store struct {
	// IsAvailable, if not nil, reports whether the database can be read. While it is false, an older result replaces a
	// read at once, under the same conditions. It must not be changed once reads have started.
	IsAvailable func() bool

	store    enrich.Store
	watch    Watch
	used     atomic.Pointer[used]
	running  sync.WaitGroup           // calls of watch
	counters map[collection]*counters // of all collections since New; Use changes it
}

// used has the sources of the last call of Use. It is never changed.
type used struct {
	groups []*group
	tables map[*enrich.Source]*table
}

// Watch reports the changes of the collection of sources, which is the same for all, until ctx ends.
type Watch func(ctx context.Context, sources []*enrich.Source, to enrich.Changes)

var _ enrich.Store = (*Store)(nil)

// New returns a Store that reads from another Store and calls watch for each collection. Call [Store.Close] at the end.
func New(store enrich.Store, watch Watch) *Store {
	s := &Store{store: store, watch: watch, counters: map[collection]*counters{}}
	s.used.Store(&used{})
	return s
}

// Use keeps results for the sources of rules, and drops those for other sources. Results of a collection remain if the
// definitions of all its sources do. Use must not be called concurrently.
func (s *Store) Use(rules []*enrich.Rule) {
	unused := slices.Clone(s.used.Load().groups)
	next := &used{tables: map[*enrich.Source]*table{}}
	for _, sources := range byCollection(rules) {
		var g *group
		i := slices.IndexFunc(unused, func(g *group) bool { return reflect.DeepEqual(g.sources, sources) })
		if i < 0 {
			g = s.start(sources)
		} else {
			g = unused[i]
			unused = slices.Delete(unused, i, i+1)
		}
		next.groups = append(next.groups, g)
		for i, src := range sources {
			next.tables[src] = g.tables[i]
		}
	}
	s.used.Store(next)
	for _, g := range unused {
		g.stop()
	}
}

// start returns a group for the sources of a collection, and begins to watch its changes.
func (s *Store) start(sources []*enrich.Source) *group {
	of := collectionOf(sources[0])
	if s.counters[of] == nil {
		s.counters[of] = &counters{}
	}
	g := newGroup(sources, s.counters[of])
	var ctx context.Context
	ctx, g.stop = context.WithCancel(context.Background())
	s.running.Go(func() { s.watch(ctx, sources, g) })
	return g
}

// Close ends the calls of watch. Reads pass from then on.
func (s *Store) Close() {
	s.Use(nil)
	s.running.Wait()
}

// collection identifies a collection.
type collection struct{ database, name string }

func collectionOf(src *enrich.Source) collection { return collection{src.Database, src.Collection} }

// byCollection returns the sources with a cache policy, grouped by their collection.
func byCollection(rules []*enrich.Rule) (groups [][]*enrich.Source) {
	for _, r := range rules {
		for _, src := range r.Sources {
			if src.Cache == nil {
				continue
			}
			i := slices.IndexFunc(groups, func(g []*enrich.Source) bool { return collectionOf(g[0]) == collectionOf(src) })
			if i < 0 {
				i, groups = len(groups), append(groups, nil)
			}
			groups[i] = append(groups[i], src)
		}
	}
	return groups
}

// Stats are counters of a collection, and the state of its cache.
type Stats struct {
	Database, Collection string

	Hits, Misses uint64 // keys that were found, and that were not
	Bypassed     uint64 // keys that were read because changes are not reported at the time
	Stale        uint64 // keys whose read failed, or was not tried, and that have an older result
	Changes      uint64 // reported changes

	Entries int    // results in memory, including outdated ones
	Bytes   uint64 // approximate size of Entries
	Follows bool   // changes are reported
}

// Stats returns the counters of each collection with a cache. A call of Use does not reset them.
func (s *Store) Stats() (list []Stats) {
	for _, g := range s.used.Load().groups {
		list = append(list, g.stats())
	}
	return list
}
