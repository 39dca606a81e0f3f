package enrich

import (
	"context"
	"sync"
)

// flights are the requests for cores for which concurrent requests wait. The zero value has none.
type flights struct {
	mu    sync.Mutex
	byKey map[string]chan struct{} // closed when the request has ended
}

// join begins a request for a key. If there is one already, join waits until that has ended or ctx ends. Otherwise it
// is the first, and land ends it; else land is nil.
func (f *flights) join(ctx context.Context, key string) (isFirst bool, land func()) {
	f.mu.Lock()
	landed, ok := f.byKey[key]
	if ok {
		f.mu.Unlock()
		select {
		case <-landed:
		case <-ctx.Done():
		}
		return false, nil
	}
	defer f.mu.Unlock()
	if f.byKey == nil {
		f.byKey = map[string]chan struct{}{}
	}
	landed = make(chan struct{})
	f.byKey[key] = landed
	return true, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.byKey, key)
		close(landed)
	}
}
