package enrich

import (
	"context"
	"errors"
	"sync/atomic"
)

// ErrOverloaded is the error of a read that [Limit] rejects.
var ErrOverloaded = errors.New("too many concurrent reads")

// Limit returns a Store that passes at most maxReads concurrent reads to another Store and rejects others immediately
// with [ErrOverloaded].
func Limit(store Store, maxReads int64) Store { return &limited{store: store, maxReads: maxReads} }

type limited struct {
	store    Store
	maxReads int64
	reads    atomic.Int64 // in progress
}

// Find implements [Store].
func (l *limited) Find(ctx context.Context, src *Source, keys []Key) []Extension {
	defer l.reads.Add(-1)
	if l.reads.Add(1) > l.maxReads {
		return failAll(len(keys), ErrOverloaded)
	}
	return l.store.Find(ctx, src, keys)
}

// Start implements [Starter].
func (l *limited) Start(ctx context.Context, src *Source, keys []Key, done func([]Extension)) {
	if l.reads.Add(1) > l.maxReads {
		l.reads.Add(-1)
		done(failAll(len(keys), ErrOverloaded))
		return
	}
	Start(ctx, l.store, src, keys, func(found []Extension) {
		l.reads.Add(-1)
		done(found)
	})
}
