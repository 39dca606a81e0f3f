package corestore

import (
	"encoding/binary"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/enrich"
	"weft/test/harness"
)

// TestStores has the tests that every CoreStore passes.
func TestStores(t *testing.T) {
	server := startRedis(t)
	t.Run("Memory", func(t *testing.T) {
		testStore(t, func(t *testing.T) enrich.CoreStore {
			m := NewMemory(64 << 20)
			t.Cleanup(m.Close)
			return m
		})
	})
	t.Run("Redis", func(t *testing.T) {
		testStore(t, func(t *testing.T) enrich.CoreStore { return openRedis(t, server) })
	})
	t.Run("Guard", func(t *testing.T) {
		testStore(t, func(t *testing.T) enrich.CoreStore { return openGuard(t, openRedis(t, server)) })
	})
}

func startRedis(t *testing.T, args ...string) *harness.Redis {
	t.Helper()
	server, err := harness.StartRedis(t.Context(), harness.RedisOptions{Dir: t.TempDir(), Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	return server
}

// run runs a command on a server.
func run(t *testing.T, server *harness.Redis, command ...any) string {
	t.Helper()
	result, err := server.Run(t.Context(), command...)
	if err != nil {
		t.Fatalf("%v: %v", command, err)
	}
	return result
}

// openRedis returns a Redis for an empty server.
func openRedis(t *testing.T, server *harness.Redis) *Redis {
	t.Helper()
	run(t, server, "FLUSHALL")
	return open(t, server.URL())
}

func open(t *testing.T, url string) *Redis {
	t.Helper()
	r, err := NewRedis(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// openGuard returns a Guard that a slow machine does not open.
func openGuard(t *testing.T, store enrich.CoreStore) *Guard {
	t.Helper()
	const long = time.Minute
	g := newGuard(store, func(err error) { t.Logf("circuit changed: %v", err) }, limits{long, long, clockSkew})
	t.Cleanup(g.Close)
	return g
}

func testStore(t *testing.T, open func(*testing.T) enrich.CoreStore) {
	all := make([]byte, 1<<16)
	for i := range all {
		all[i] = byte(i)
	}
	t.Run("keys and values", func(t *testing.T) {
		s := open(t)
		for _, key := range []string{"k", "", " \r\n\x00\xff{}:*", strings.Repeat("k", 10000)} {
			expect(t, s, key, "")
			set(t, s, key, all)
			expect(t, s, key, string(all))
			set(t, s, key, []byte{0})
			expect(t, s, key, "\x00")
		}
		expect(t, s, "K", "")
	})
	t.Run("old value", func(t *testing.T) {
		s := open(t)
		for _, value := range []string{"", "1", "2", "", "3"} {
			set(t, s, "k", []byte(value))
			var old []byte
			if err := s.Update(t.Context(), "k", func(got []byte) ([]byte, time.Duration) {
				old = got
				return []byte("next"), time.Hour
			}); err != nil {
				t.Fatal(err)
			}
			if string(old) != value || value == "" && old != nil {
				t.Errorf("old value %q, want %q", old, value)
			}
			expect(t, s, "k", "next")
		}
	})
	t.Run("removal", func(t *testing.T) {
		s := open(t)
		for name, remove := range map[string]func() ([]byte, time.Duration){
			"nil":          func() ([]byte, time.Duration) { return nil, time.Hour },
			"empty":        func() ([]byte, time.Duration) { return []byte{}, time.Hour },
			"no ttl":       func() ([]byte, time.Duration) { return []byte("v"), 0 },
			"negative ttl": func() ([]byte, time.Duration) { return []byte("v"), -time.Hour },
			"too large":    func() ([]byte, time.Duration) { return make([]byte, 16<<20), time.Hour },
		} {
			set(t, s, "k", []byte("v"))
			for range 2 {
				if err := s.Update(t.Context(), "k", func([]byte) ([]byte, time.Duration) { return remove() }); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				expect(t, s, "k", "")
			}
		}
	})
	t.Run("largest value", func(t *testing.T) {
		s := open(t)
		largest := make([]byte, s.MaxValue("k"))
		set(t, s, "k", largest)
		expect(t, s, "k", string(largest))
		set(t, s, "k", append(largest, 0))
		expect(t, s, "k", "")
	})
	t.Run("ttl", func(t *testing.T) {
		s := open(t)
		for _, ttl := range []time.Duration{time.Nanosecond, time.Millisecond, 10 * time.Millisecond} {
			set(t, s, "k", []byte("v"))
			if err := s.Update(t.Context(), "k", func([]byte) ([]byte, time.Duration) { return all, ttl }); err != nil {
				t.Fatal(err)
			}
			harness.Eventually(t, "the value expires", func() bool {
				got, err := s.Get(t.Context(), "k")
				if err != nil {
					t.Fatal(err)
				}
				return got == nil
			})
		}
		const long = 100 * 365 * 24 * time.Hour
		if err := s.Update(t.Context(), "k", func([]byte) ([]byte, time.Duration) { return all, long }); err != nil {
			t.Fatal(err)
		}
		expect(t, s, "k", string(all))
	})
	t.Run("concurrent updates", func(t *testing.T) {
		s := open(t)
		const writers, updates = 4, 100
		var running sync.WaitGroup
		for range writers {
			running.Go(func() {
				for range updates {
					if err := s.Update(t.Context(), "k", func(old []byte) ([]byte, time.Duration) {
						var n uint64
						if old != nil {
							n = binary.BigEndian.Uint64(old)
						}
						return binary.BigEndian.AppendUint64(nil, n+1), time.Hour
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		running.Wait()
		expect(t, s, "k", string(binary.BigEndian.AppendUint64(nil, writers*updates)))
	})
}
