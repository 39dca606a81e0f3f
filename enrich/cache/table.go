package cache

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"weft/enrich"
)

// table has the results of a source.
type table struct {
	policy  *enrich.CachePolicy
	history *history
	salt    uint64 // of its keys in history
	entries *otter.Cache[entryKey, *entry]
	steps   atomic.Uint64 // the number of times that a read began or ended

	*counters
}

// entryKey is an [enrich.Key] that is comparable.
type entryKey struct {
	prefix string
	last   enrich.Value
}

func entryKeyOf(key enrich.Key) entryKey { return entryKey{key.Prefix(), key[len(key)-1]} }

// length returns the number of bytes of the key.
func (k entryKey) length() int { return len(k.prefix) + len(k.last.Text) }

// clone returns a key for an entry. Otherwise the entry would keep the request's whole path in memory.
func (k entryKey) clone() entryKey {
	k.last.Text = strings.Clone(k.last.Text)
	return k
}

// maxKeyLength is the maximum length of the key of an entry, in bytes. Keys are from clients, and a missing document is
// a result, too.
const maxKeyLength = 256

// entry is the result of a read. It is never changed.
type entry struct {
	read
	ext             enrich.Extension // with CacheHit
	keySlot, idSlot int              // in history; idSlot is -1 without a document
}

// entrySize is the size of an entry in bytes, with an empty key and result.
const entrySize = 400

// sizeOf returns the approximate size of an entry in bytes.
func sizeOf(key entryKey, e *entry) uint32 {
	return uint32(entrySize + key.length() + cap(e.ext.JSON) + len(e.ext.ID))
}

// maxShare is the part of MaxSize that an entry may have: a sixteenth.
const maxShare = 16

// read is a read of the database.
type read struct {
	at           time.Time // when it began
	last         uint64    // number of the last change before that
	began, ended uint64    // steps
}

func newTable(policy *enrich.CachePolicy, h *history, c *counters) *table {
	o := &otter.Options[entryKey, *entry]{MaximumWeight: uint64(policy.MaxSize), Weigher: sizeOf}
	return &table{policy: policy, history: h, salt: rand.Uint64(), entries: otter.Must(o), counters: c}
}

func (t *table) slotOf(key entryKey) int { return t.history.slotOfKey(t.salt, key) }

// begin returns a read that begins.
func (t *table) begin() read {
	return read{at: time.Now(), last: t.history.last.Load(), began: t.steps.Add(1)}
}

func (t *table) end(r *read) { r.ended = t.steps.Add(1) }

// lookup returns the result of an earlier read, if it may be used.
func (t *table) lookup(key entryKey, now time.Time) (enrich.Extension, bool) {
	if !t.history.isUsable(now) {
		t.bypassed.Add(1)
		return enrich.Extension{}, false
	}
	e, ok := t.entries.GetIfPresent(key)
	if !ok || now.Sub(e.at) >= t.policy.MaxAge || t.history.isOutdated(e) || t.history.isUncertain(e) {
		t.misses.Add(1)
		return enrich.Extension{}, false
	}
	t.hits.Add(1)
	return e.ext, true
}

// settle returns the result of a read. It keeps what the database responded. If the read failed, an older result may
// replace it.
func (t *table) settle(key entryKey, ext enrich.Extension, r read) enrich.Extension {
	if !ext.IsAnswer() {
		return t.standIn(key, ext)
	}
	t.keep(key, ext, r)
	return ext
}

// keep keeps the result of a read. An outdated one is kept as well, as a record of what a client received: if the
// results of two reads that ran at the same time differ, it is not known which is newer. Then neither is used again,
// nor are those of other reads that are still running. Otherwise a client could get the older one after the newer one.
// The same holds for a result that is too large to be kept.
func (t *table) keep(key entryKey, ext enrich.Extension, r read) {
	if key.length() > maxKeyLength {
		return // no result of this key is kept
	}
	key = key.clone()
	ext.Command, ext.Cache = nil, enrich.CacheHit
	e := &entry{read: r, ext: ext, keySlot: t.slotOf(key), idSlot: t.history.slotOfID(ext.ID)}
	fits := int(sizeOf(key, e)) <= t.policy.MaxSize/maxShare
	t.entries.Compute(key, func(old *entry, found bool) (*entry, otter.ComputeOp) {
		switch {
		case fits && (!found || e.began > old.ended):
			return e, otter.WriteOp
		case found && old.began > e.ended:
			return nil, otter.CancelOp
		case found && isSame(old.ext, e.ext):
			newer := *e
			if e.began < old.began {
				newer = *old
			}
			newer.ended = max(old.ended, e.ended)
			return &newer, otter.WriteOp
		default:
			t.history.outdate(e.keySlot)
			return nil, otter.InvalidateOp
		}
	})
}

// settleSelected returns the result of a read of selected fields, of a document that is invalid with all its fields.
// The result is not kept, but what is kept must not be older; see keep.
func (t *table) settleSelected(key entryKey, ext enrich.Extension, r read) enrich.Extension {
	if !ext.IsAnswer() || key.length() > maxKeyLength {
		return ext
	}
	key = key.clone()
	t.entries.Compute(key, func(old *entry, found bool) (*entry, otter.ComputeOp) {
		switch {
		case found && old.began > r.ended:
			return nil, otter.CancelOp
		case found && errors.Is(old.ext.Err, enrich.ErrWrongType):
			still := *old
			still.ended = max(old.ended, r.ended)
			return &still, otter.WriteOp
		default:
			t.history.outdate(t.slotOf(key))
			return nil, otter.InvalidateOp
		}
	})
	return ext
}

// isSame reports whether two results are of the same document, with the same values.
func isSame(a, b enrich.Extension) bool {
	return a.ID == b.ID && bytes.Equal(a.JSON, b.JSON) && (a.Err == nil) == (b.Err == nil) &&
		errors.Is(a.Err, enrich.ErrNotFound) == errors.Is(b.Err, enrich.ErrNotFound)
}

// standIn returns an older result for a failed read, or the failure if there is no usable one. A result after which
// changes may have been missed is usable, because the answer says that it is older; one that has changed is not.
func (t *table) standIn(key entryKey, failed enrich.Extension) enrich.Extension {
	isBug, isAbandoned := errors.As(failed.Err, new(*enrich.PanicError)), errors.Is(failed.Err, context.Canceled)
	if t.policy.StaleIfError == 0 || isBug || isAbandoned {
		return failed
	}
	e, ok := t.entries.GetIfPresent(key)
	if !ok || time.Since(e.at) >= t.policy.MaxAge+t.policy.StaleIfError || t.history.isOutdated(e) ||
		errors.Is(e.ext.Err, enrich.ErrWrongType) {
		return failed
	}
	t.stale.Add(1)
	ext := e.ext
	ext.Cache, ext.Stale = enrich.CacheStale, failed.Err
	return ext
}
