// Package corestore has implementations of [enrich.CoreStore].
package corestore

import (
	"context"
	"time"

	"github.com/maypok86/otter/v2"

	"weft/enrich"
)

const (
	// entryOverhead is the memory that an entry needs in addition to its key and its value, in bytes: the entry itself,
	// its slot in the hash table, and what the allocator adds.
	entryOverhead = 192

	// maxShare limits the size of an entry to a share of a Memory, so that one entry does not evict most others.
	maxShare = 8
)

// Memory is an [enrich.CoreStore] in this process. It evicts values that are seldom used when it is full.
type Memory struct {
	entries *otter.Cache[string, entry]
	largest uint64 // maximum size of an entry, in bytes
}

// entry is a value and how long it is kept.
type entry struct {
	value []byte
	ttl   time.Duration
}

var _ enrich.CoreStore = (*Memory)(nil)

// NewMemory returns a Memory for a number of bytes, which includes keys and an overhead per entry. Call [Memory.Close]
// at the end.
func NewMemory(size uint64) *Memory {
	return &Memory{
		entries: otter.Must(&otter.Options[string, entry]{
			MaximumWeight: size,
			Weigher:       func(key string, e entry) uint32 { return uint32(entrySize(key, e.value)) },
			ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, entry]) time.Duration {
				return e.Value.ttl
			}),
		}),
		largest: min(size/maxShare, 1<<31),
	}
}

func entrySize(key string, value []byte) uint64 { return uint64(len(key) + len(value) + entryOverhead) }

// Get implements [enrich.CoreStore]. It returns no error.
func (m *Memory) Get(_ context.Context, key string) ([]byte, error) {
	e, _ := m.entries.GetIfPresent(key)
	return e.value, nil
}

// Update implements [enrich.CoreStore]. It returns no error, and calls change once.
func (m *Memory) Update(
	_ context.Context, key string, change func(old []byte) (value []byte, ttl time.Duration),
) error {
	m.entries.Compute(key, func(old entry, _ bool) (entry, otter.ComputeOp) {
		value, ttl := change(old.value)
		if len(value) == 0 || ttl <= 0 || entrySize(key, value) > m.largest {
			return entry{}, otter.InvalidateOp
		}
		return entry{value, ttl}, otter.WriteOp
	})
	return nil
}

// MaxValue implements [enrich.CoreStore].
func (m *Memory) MaxValue(key string) int {
	return max(0, int(m.largest)-int(entrySize(key, nil))) //nolint:gosec // both are small
}

// Stats describe a [Memory].
type Stats struct {
	Entries uint64
	Bytes   uint64
}

// Stats returns the number of entries and their size.
func (m *Memory) Stats() Stats {
	m.entries.CleanUp() // otter counts writes and removals later, on other goroutines
	return Stats{Entries: uint64(m.entries.EstimatedSize()), Bytes: m.entries.WeightedSize()}
}

// Close ends the store's goroutines. Expired values may remain in memory until they are evicted.
func (m *Memory) Close() { m.entries.StopAllGoroutines() }
