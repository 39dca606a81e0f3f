package enrich

import (
	"errors"
	"sync"
	"sync/atomic"
)

// ErrOverloaded stands for a read that was not begun, since too many were under way.
var ErrOverloaded = errors.New("too many reads are under way")

// Limit returns a Store that has no more than so many reads under way at once, and fails those beyond at once, with
// [ErrOverloaded]. A database that stands still holds that many, and when it goes on, so does the Store.
func Limit(store Store, reads int64) Store { return &limited{store: store, reads: reads} }

type limited struct {
	store    Store
	reads    int64 // at most
	underWay atomic.Int64
}

// Find implements [Store].
func (l *limited) Find(src *Source, keys []Key, found func([]Extension)) (giveUp func()) {
	if l.underWay.Add(1) > l.reads {
		l.underWay.Add(-1)
		failed := make([]Extension, len(keys))
		for i := range failed {
			failed[i].Err = ErrOverloaded
		}
		found(failed)
		return func() {}
	}
	var over sync.Once
	end := func() { over.Do(func() { l.underWay.Add(-1) }) }
	stop := l.store.Find(src, keys, func(extensions []Extension) {
		end()
		found(extensions)
	})
	return func() {
		stop()
		end()
	}
}
