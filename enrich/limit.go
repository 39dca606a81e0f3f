package enrich

import (
	"context"
	"errors"
	"sync/atomic"
)

// ErrOverloaded stands for a read that was not begun, since too many were under way.
var ErrOverloaded = errors.New("too many reads are under way")

// Limit returns a Store that has no more than so many calls of Find under way at once, and fails those beyond at once, with
// [ErrOverloaded]. A database that stands still holds that many, and when it goes on, so does the Store.
func Limit(store Store, reads int64) Store { return &limited{store: store, reads: reads} }

type limited struct {
	store    Store
	reads    int64 // at most
	underWay atomic.Int64
}

func (l *limited) Find(ctx context.Context, src *Source, keys []Key) []Extension {
	defer l.underWay.Add(-1)
	if l.underWay.Add(1) > l.reads {
		found := make([]Extension, len(keys))
		for i := range found {
			found[i].Err = ErrOverloaded
		}
		return found
	}
	return l.store.Find(ctx, src, keys)
}
