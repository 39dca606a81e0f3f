package cache

import (
	"hash/maphash"
	"sync/atomic"
	"time"
)

// maxSilence is how long results are used after changes were last known to be complete. A change stream that works is
// complete more often.
const maxSilence = 3 * time.Second

// history has the numbers of the last changes. A result is outdated if a change of its document, or of a document with
// its key, has a higher number than the last change before its read began. So the result of a read that a change
// overtakes is outdated from the start.
//
// Documents and keys share slots by their hashes. A change outdates all results of its slot, possibly too many, in
// constant time and memory.
type history struct {
	seed  maphash.Seed
	slots []atomic.Uint64 // numbers of the last changes; their length is a power of two
	last  atomic.Uint64   // number of the last change
	any   atomic.Uint64   // number of the last change of an unknown document
	begun atomic.Uint64   // number of the last gap: changes between two results may have been missed

	start         time.Time    // before all other times
	complete      atomic.Int64 // nanoseconds since start at which changes were complete; 0 while they are not reported
	isUnsupported atomic.Bool
}

// bytesPerSlot keeps the number of results that a change outdates by chance below one, with the memory of slots below
// a thirtieth of that of results.
const bytesPerSlot = 512

func newHistory(maxSize int) *history {
	n := 1
	for n < maxSize/bytesPerSlot {
		n *= 2
	}
	return &history{seed: maphash.MakeSeed(), slots: make([]atomic.Uint64, n), start: time.Now().Add(-1)}
}

// slotOfID returns the slot of a document; -1 without one.
func (h *history) slotOfID(id string) int {
	if id == "" {
		return -1
	}
	return int(maphash.String(h.seed, id) & uint64(len(h.slots)-1))
}

// slotOfKey returns the slot of a key. The salt distinguishes keys of different sources.
func (h *history) slotOfKey(salt uint64, key entryKey) int {
	return int((maphash.Comparable(h.seed, key) ^ salt) & uint64(len(h.slots)-1))
}

// outdate makes results in a slot outdated, including those of reads that have not ended.
func (h *history) outdate(slot int) { raise(&h.slots[slot], h.last.Add(1)) }

func (h *history) outdateAll() { raise(&h.any, h.last.Add(1)) }

func (h *history) begin() {
	raise(&h.begun, h.last.Add(1))
	h.isUnsupported.Store(false)
}

// raise sets a number that goroutines set concurrently, unless it is higher.
func raise(number *atomic.Uint64, to uint64) {
	for {
		n := number.Load()
		if n >= to || number.CompareAndSwap(n, to) {
			return
		}
	}
}

func (h *history) follow(at time.Time) {
	h.isUnsupported.Store(false)
	h.complete.Store(at.Sub(h.start).Nanoseconds())
}

func (h *history) lose(isUnsupported bool) {
	h.complete.Store(0)
	h.isUnsupported.Store(isUnsupported)
}

// follows reports whether changes are reported.
func (h *history) follows(now time.Time) bool {
	complete := h.complete.Load()
	return complete != 0 && now.Sub(h.start).Nanoseconds()-complete < maxSilence.Nanoseconds()
}

// isUsable reports whether results may be used that are not outdated.
func (h *history) isUsable(now time.Time) bool { return h.follows(now) || h.isUnsupported.Load() }

// isOutdated reports whether a change of a result is known.
func (h *history) isOutdated(e *entry) bool {
	return e.last < h.any.Load() || e.last < h.slots[e.keySlot].Load() ||
		e.idSlot >= 0 && e.last < h.slots[e.idSlot].Load()
}

// isUncertain reports whether changes since a read may have been missed.
func (h *history) isUncertain(e *entry) bool { return e.last < h.begun.Load() }
