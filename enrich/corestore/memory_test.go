package corestore

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"weft/enrich"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// set sets the value of a key for an hour.
func set(t *testing.T, s enrich.CoreStore, key string, value []byte) {
	t.Helper()
	err := s.Update(t.Context(), key, func([]byte) ([]byte, time.Duration) { return value, time.Hour })
	if err != nil {
		t.Fatal(err)
	}
}

// expect checks the value of a key.
func expect(t *testing.T, s enrich.CoreStore, key, want string) {
	t.Helper()
	got, err := s.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want || want == "" && got != nil {
		t.Errorf("%.20q, want %.20q", got, want)
	}
}

// TestMemoryIsBounded: keys, values and the overhead of entries count.
func TestMemoryIsBounded(t *testing.T) {
	const size = 1 << 20
	m := NewMemory(size)
	defer m.Close()
	for _, n := range []int{1, 100, 10000} {
		for i := range 2 * size / (n + entryOverhead) {
			key := strings.Repeat("k", n/2) + fmt.Sprint(i)
			set(t, m, key, bytes.Repeat([]byte("v"), n))
			if s := m.Stats(); s.Bytes > size || s.Bytes < s.Entries*entryOverhead {
				t.Fatalf("%+v after %d entries of %d bytes", s, i, n)
			}
		}
		if s := m.Stats(); s.Bytes < size/2 {
			t.Errorf("%+v, want more than half of %d bytes used", s, size)
		}
	}
}

// TestEntryOverhead compares entryOverhead with the memory that entries use.
func TestEntryOverhead(t *testing.T) {
	m := NewMemory(1 << 30)
	defer m.Close()
	heap := func() uint64 {
		m.entries.CleanUp()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	const n, length = 20000, 64
	for i := range n {
		set(t, m, fmt.Sprintf("%064d", i), bytes.Repeat([]byte("v"), length))
	}
	used := int(heap()-before)/n - 2*length
	if used > entryOverhead || used < entryOverhead/2 {
		t.Errorf("%d bytes per entry, entryOverhead is %d", used, entryOverhead)
	}
	runtime.KeepAlive(m)
}

// TestMemoryLargeValue: a value that is too large replaces the previous one by none.
func TestMemoryLargeValue(t *testing.T) {
	m := NewMemory(8000)
	defer m.Close()
	largest := strings.Repeat("v", 1000-entryOverhead-1)
	set(t, m, "k", []byte(largest))
	expect(t, m, "k", largest)
	set(t, m, "k", []byte(largest+"v"))
	expect(t, m, "k", "")
	if s := m.Stats(); s != (Stats{}) {
		t.Errorf("%+v", s)
	}
}

// TestMemoryTTL: each write sets the time that a value is kept; reads do not.
func TestMemoryTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory(1 << 20)
		defer m.Close()
		write := func(value string, ttl time.Duration) {
			_ = m.Update(t.Context(), "k", func([]byte) ([]byte, time.Duration) { return []byte(value), ttl })
		}
		write("1", time.Minute)
		time.Sleep(time.Minute - 1)
		expect(t, m, "k", "1")
		time.Sleep(time.Nanosecond)
		expect(t, m, "k", "")
		write("2", time.Minute)
		write("3", time.Hour)
		time.Sleep(time.Hour - 1)
		expect(t, m, "k", "3")
		write("4", time.Second)
		time.Sleep(time.Second)
		expect(t, m, "k", "")
		_ = m.Update(t.Context(), "k", func(old []byte) ([]byte, time.Duration) {
			if old != nil {
				t.Errorf("old value %q", old)
			}
			return []byte("5"), time.Second
		})
		expect(t, m, "k", "5")
		for _, ttl := range []time.Duration{0, -1} {
			write("6", time.Second)
			write("7", ttl)
			expect(t, m, "k", "")
		}
	})
}
