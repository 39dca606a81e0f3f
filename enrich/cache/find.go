package cache

import (
	"context"
	"errors"
	"slices"
	"time"

	"weft/enrich"
)

// errUnavailable is the error of a read that an older result replaces because the database cannot be read.
var errUnavailable = errors.New("the database is unavailable")

// Find implements [enrich.Store].
func (s *Store) Find(ctx context.Context, src *enrich.Source, keys []enrich.Key) []enrich.Extension {
	whole := src.Whole()
	t := s.used.Load().tables[whole]
	if t == nil { // without a cache policy, or of rules that were replaced
		return s.store.Find(ctx, src, keys)
	}
	f := find{Store: s, table: t, keys: keys, found: make([]enrich.Extension, len(keys))}
	if !f.read(ctx, whole, f.lookup(), t.settle) {
		return nil
	}
	if src != whole && !f.read(ctx, src, f.project(src), t.settleSelected) {
		return nil
	}
	return f.found
}

// Start implements [enrich.Starter].
func (s *Store) Start(ctx context.Context, src *enrich.Source, keys []enrich.Key, done func([]enrich.Extension)) {
	if src.Cache == nil {
		enrich.Start(ctx, s.store, src, keys, done)
		return
	}
	enrich.Start(ctx, struct{ enrich.Store }{s}, src, keys, done) // hides Start, so that Find has a goroutine
}

// find is a call of Find.
type find struct {
	*Store
	table *table
	keys  []enrich.Key
	found []enrich.Extension // one per key
}

// lookup sets found for the keys that need no read, and returns the indexes of the others.
func (f *find) lookup() (missing []int) {
	now := time.Now()
	for i, key := range f.keys {
		var ok bool
		if f.found[i], ok = f.table.lookup(entryKeyOf(key), now); !ok {
			missing = append(missing, i)
		}
	}
	if len(missing) == 0 || f.IsAvailable == nil || f.IsAvailable() {
		return missing
	}
	return slices.DeleteFunc(missing, func(i int) bool {
		f.found[i] = f.table.standIn(entryKeyOf(f.keys[i]), enrich.Extension{Err: errUnavailable})
		return f.found[i].Stale != nil
	})
}

// project replaces the extensions that were found, which have all fields, by those with the fields of src. It returns
// the indexes of documents that are invalid, perhaps because of another field.
func (f *find) project(src *enrich.Source) (invalid []int) {
	for i := range f.found {
		ext := &f.found[i]
		isInvalid := errors.Is(ext.Err, enrich.ErrWrongType)
		if ext.Err == nil {
			var err error
			ext.JSON, err = src.Project(ext.JSON)
			isInvalid = err != nil
		}
		if isInvalid {
			invalid = append(invalid, i)
		}
	}
	return invalid
}

// read reads the keys with some indexes, and sets found to what settle makes of the results. It returns false if their
// number is not that of the keys; the caller of Find reports that.
func (f *find) read(
	ctx context.Context, src *enrich.Source, indexes []int,
	settle func(entryKey, enrich.Extension, read) enrich.Extension,
) (ok bool) {
	if len(indexes) == 0 {
		return true
	}
	keys := make([]enrich.Key, len(indexes))
	for n, i := range indexes {
		keys[n] = f.keys[i]
	}
	r := f.table.begin()
	answers := f.store.Find(ctx, src, keys)
	f.table.end(&r)
	if len(answers) != len(keys) {
		return false
	}
	for n, ext := range answers {
		ext.Cache = enrich.CacheMiss
		if !ext.IsAnswer() && ctx.Err() != nil {
			ext.Err = context.Cause(ctx)
		}
		f.found[indexes[n]] = settle(entryKeyOf(keys[n]), ext, r)
	}
	return true
}
