package observe

import (
	"maps"
	"sync"
	"sync/atomic"
)

// children are the metrics of labels, each made when it is first asked for. To find one again takes a look into a map, and
// no allocation and no lock: labels are few, and soon all there.
type children[K comparable, V any] struct {
	create func(K) V

	mu    sync.Mutex // for who adds one
	known atomic.Pointer[map[K]V]
}

func (c *children[K, V]) of(k K) V {
	if known := c.known.Load(); known != nil {
		if v, ok := (*known)[k]; ok {
			return v
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	more := map[K]V{}
	if known := c.known.Load(); known != nil {
		if v, ok := (*known)[k]; ok {
			return v
		}
		more = maps.Clone(*known)
	}
	v := c.create(k)
	more[k] = v
	c.known.Store(&more)
	return v
}
