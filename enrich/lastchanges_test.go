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
	check := func(key string, want int64) {
		t.Helper()
		if got := c.of(key); got != want {
			t.Errorf("%d, want %d", got, want)
		}
	}
	check(same[0], 0)
	at := start.UnixNano()
	c.record(same[0], start)
	check(same[0], at)
	check(same[1], 0)
	c.record(same[1], start.Add(1))
	check(same[0], at)
	check(same[1], at+1)
	check(same[3], at)
	changed := map[string]int64{}
	for i := range 1000 {
		key, now := same[rand.IntN(3)], start.Add(time.Hour+time.Duration(i))
		c.record(key, now)
		check(key, now.UnixNano())
		changed[key] = now.UnixNano()
		for key, at := range changed {
			if got := c.of(key); got < at {
				t.Fatalf("%d is before %d", got, at)
			}
		}
	}
}
