package enrich

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"testing"
	"time"
)

// TestLastChanges: the time of a key is that of its last change or a later one. The time of a key that has not changed
// is zero, unless two others have changed that share its slot.
func TestLastChanges(t *testing.T) {
	c := &lastChanges{seed: maphash.MakeSeed()}
	slot := func(key string) uint64 { return maphash.String(c.seed, key) % uint64(len(c.slots)) }
	var same []string // keys of one slot
	for i := 0; len(same) < 4; i++ {
		if key := fmt.Sprint(i); len(same) == 0 || slot(key) == slot(same[0]) {
			same = append(same, key)
		}
	}
	start := time.Now()
	check := func(key string, want time.Time) {
		t.Helper()
		if got := c.of(key); !got.Equal(want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	check(same[0], time.Time{})
	c.record(same[0], start)
	check(same[0], start)
	check(same[1], time.Time{})
	c.record(same[1], start.Add(1))
	check(same[0], start)
	check(same[1], start.Add(1))
	check(same[3], start)
	changed := map[string]time.Time{}
	for i := range 1000 {
		key, now := same[rand.IntN(3)], start.Add(time.Hour+time.Duration(i))
		c.record(key, now)
		changed[key] = now
		for key, at := range changed {
			if got := c.of(key); got.Before(at) {
				t.Fatalf("%v before %v", got, at)
			}
		}
		if got := c.of(key); !got.Equal(now) {
			t.Fatalf("%v, want %v", got, now)
		}
	}
}
