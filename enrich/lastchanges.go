package enrich

import (
	"hash/maphash"
	"sync"
	"time"
)

// lastChanges has the times of the last changes of keys, in nanoseconds since 1970. Its memory is bounded: keys share
// slots by their hash. In a slot, the key that changed last has a time of its own. The others have one time, which is
// too late for most of them.
type lastChanges struct {
	seed  maphash.Seed
	slots [1 << 14]struct {
		mu     sync.Mutex
		hash   uint64 // of the key that changed last
		last   int64
		others int64
	}
}

// record records a change of a key.
func (c *lastChanges) record(key string, now time.Time) {
	hash := maphash.String(c.seed, key)
	s := &c.slots[hash%uint64(len(c.slots))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hash != hash {
		s.hash, s.last, s.others = hash, 0, max(s.others, s.last)
	}
	s.last = max(s.last, now.UnixNano())
}

// of returns when a key has changed, or a later time; 0 if it has not.
func (c *lastChanges) of(key string) int64 {
	hash := maphash.String(c.seed, key)
	s := &c.slots[hash%uint64(len(c.slots))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hash == hash {
		return s.last
	}
	return s.others
}
