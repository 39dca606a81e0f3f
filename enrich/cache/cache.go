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
// begun before is not used again. Of two reads, one after the other, the second one does not return an older result if
// that is so for the other Store, and the result of the first one was not evicted because of MaxEntries.
//
// If a read fails, or its context ends, an older result replaces it within StaleIfError, unless a change of that result
// was reported.
type Store struct {
	store   enrich.Store
	watch   Watch
	used    atomic.Pointer[used]
	running sync.WaitGroup // calls of watch
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
	s := &Store{store: store, watch: watch}
	s.used.Store(&used{})
	return s
}

// Use keeps results for the sources of rules, and drops those for other sources. Results of a collection remain if the
// definitions of all its sources do. Use must not be called concurrently.
func (s *Store) Use(rules []*enrich.Rule) {
	previous := slices.Clone(s.used.Load().groups)
	next := &used{tables: map[*enrich.Source]*table{}}
	for _, sources := range byCollection(rules) {
		i := slices.IndexFunc(previous, func(g *group) bool { return reflect.DeepEqual(g.sources, sources) })
		var g *group
		if i >= 0 {
			g = previous[i]
			previous = slices.Delete(previous, i, i+1)
		} else {
			g = newGroup(sources)
			var ctx context.Context
			ctx, g.stop = context.WithCancel(context.Background())
			s.running.Go(func() { s.watch(ctx, sources, g) })
		}
		next.groups = append(next.groups, g)
		for i, src := range sources {
			next.tables[src] = g.tables[i]
		}
	}
	s.used.Store(next)
	for _, g := range previous {
		g.stop()
	}
}

// Close ends the calls of watch. Reads pass from then on.
func (s *Store) Close() {
	s.Use(nil)
	s.running.Wait()
}

// byCollection returns the sources with a cache policy, grouped by their collection.
func byCollection(rules []*enrich.Rule) (groups [][]*enrich.Source) {
	for _, r := range rules {
		for _, src := range r.Sources {
			if src.Cache == nil {
				continue
			}
			i := slices.IndexFunc(groups, func(g []*enrich.Source) bool {
				return g[0].Database == src.Database && g[0].Collection == src.Collection
			})
			if i < 0 {
				i, groups = len(groups), append(groups, nil)
			}
			groups[i] = append(groups[i], src)
		}
	}
	return groups
}

// Find implements [enrich.Store].
func (s *Store) Find(ctx context.Context, src *enrich.Source, keys []enrich.Key) []enrich.Extension {
	if src.Cache == nil {
		return s.store.Find(ctx, src, keys)
	}
	whole, fields := src.Whole()
	t := s.used.Load().tables[whole]
	if t == nil { // of rules that were replaced
		return s.store.Find(ctx, src, keys)
	}
	read := t.begin()
	found := make([]enrich.Extension, len(keys))
	var missing []int // indexes of keys
	for i, key := range keys {
		ext, ok := t.lookup(entryKeyOf(key, fields), read.at)
		if found[i] = ext; !ok {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 {
		return found
	}
	rest := make([]enrich.Key, len(missing))
	for n, i := range missing {
		rest[n] = keys[i]
	}
	answers := s.store.Find(ctx, src, rest)
	if len(answers) != len(rest) {
		return nil // the caller reports it
	}
	read.end()
	for n, i := range missing {
		ext, key := answers[n], entryKeyOf(keys[i], fields)
		ext.Cache = enrich.CacheMiss
		if ext.IsAnswer() {
			t.keep(key, ext, read)
		} else {
			if ctx.Err() != nil {
				ext.Err = context.Cause(ctx)
			}
			ext = t.standIn(key, ext)
		}
		found[i] = ext
	}
	return found
}

// Start implements [enrich.Starter].
func (s *Store) Start(ctx context.Context, src *enrich.Source, keys []enrich.Key, done func([]enrich.Extension)) {
	if src.Cache == nil {
		enrich.Start(ctx, s.store, src, keys, done)
		return
	}
	enrich.Start(ctx, struct{ enrich.Store }{s}, src, keys, done)
}

// Stats are counters of a collection.
type Stats struct {
	Database, Collection string

	Hits, Misses uint64 // keys that were found, and that were not
	Bypassed     uint64 // keys that were read because changes are not reported at the time
	Stale        uint64 // keys whose read failed and has an older result
	Changes      uint64 // reported changes
	Entries      int    // results in memory, including outdated ones
	Follows      bool   // changes are reported
}

// Stats returns the counters of each collection. They begin when its results are kept.
func (s *Store) Stats() (list []Stats) {
	for _, g := range s.used.Load().groups {
		list = append(list, g.stats())
	}
	return list
}
