package enrich

import (
	"context"
	"time"
)

// CoreStore keeps values by key for a time, such as responses of the legacy service. It is bounded: it may drop any
// value before its time. All methods are safe for concurrent use and return when ctx ends. Package corestore has
// implementations.
type CoreStore interface {
	// Get returns the value of a key; nil without one. After an error it is not known whether the key has a value. The
	// caller must not modify the bytes, which may be shared.
	Get(ctx context.Context, key string) ([]byte, error)

	// Update replaces the value of a key by the one that change returns, which is kept for ttl at most. An empty value,
	// or a ttl of 0 or less, removes the key. So does a value that is too large for the store; that is not an error.
	// After an error it is not known which value the key has.
	//
	// old is nil if the key has no value. change must not modify old, and value must not be modified later. No other
	// Update of the key takes place between the two, by any process. Update may call change several times, but not
	// after it has returned. change must return quickly and must not use the store.
	Update(ctx context.Context, key string, change func(old []byte) (value []byte, ttl time.Duration)) error

	// MaxValue returns the size of the largest value that is kept for a key, in bytes.
	MaxValue(key string) int
}

// LossyStore is a CoreStore that does not use values which lost Updates may have replaced.
type LossyStore interface {
	CoreStore

	// Outdated returns such a value of a key; nil without one, or after an error.
	Outdated(ctx context.Context, key string) []byte
}
