package enrich

import (
	"context"
	"errors"
	"sync/atomic"
)

// ErrOverloaded is the error of a read that was rejected, since too many were under way.
var ErrOverloaded = errors.New("too many reads are under way")

// Limit returns a Store that passes at most so many reads to another Store at the same time and rejects the rest
// immediately, with [ErrOverloaded].
func Limit(store Store, reads int64) Store { return &limited{store: store, reads: reads} }

type limited struct {
	store    Store
	reads    int64 // at most
	underWay atomic.Int64
}

// Find implements [Store].
func (l *limited) Find(ctx context.Context, src *Source, keys []Key) []Extension {
	defer l.underWay.Add(-1)
	if l.underWay.Add(1) > l.reads {
		return failAll(len(keys), ErrOverloaded)
	}
	return l.store.Find(ctx, src, keys)
}
