package enrich

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Store reads extensions. Package storetest, in test/, has tests that every Store must pass, and an in-memory Store.
// [Batch] and [Limit] wrap a Store.
type Store interface {
	// Find returns one Extension per key, in the order of the keys. Each is a JSON object with the fields of src, in
	// their order, from the first document that matches all conditions of src. Numbers of different types compare by
	// value. If there are several keys, they differ in one condition only. Find returns when ctx ends.
	//
	// The error of an Extension is [ErrNotFound] if there is no document. It wraps [ErrWrongType] if a field has
	// another type than in src, or is missing and has no default, or if the field of a condition matches the key with
	// another type (Decimal128, array). Any other error means that the document could not be read. Callers must not
	// modify the bytes, which may be shared.
	Find(ctx context.Context, src *Source, keys []Key) []Extension
}

// Errors of an Extension.
var (
	ErrNotFound  = errors.New("no such document")
	ErrWrongType = errors.New("wrong type")

	errNoResult       = errors.New("the store returned neither a document nor an error")
	errCoreFailed     = errors.New("not read, because its key is in the core, which failed")
	errAnswerTooLarge = errors.New("the response with the extensions would be too large")
)

// Extension is the result of a read: one JSON object, or an error.
type Extension struct {
	JSON []byte
	Err  error

	Command *Command    // the command that read it; nil if unknown
	ID      string      // identifies the document for [Changes]; empty without one, or if Source.Cache is nil
	Cache   CacheStatus // empty if Source.Cache is nil
	Stale   error       // not nil if an older copy replaces the result of a read that failed with this error
}

// IsAnswer reports whether the extension is what the database responded: a document, valid or not, or that no
// document matches.
func (e Extension) IsAnswer() bool {
	return e.Err == nil || errors.Is(e.Err, ErrNotFound) || errors.Is(e.Err, ErrWrongType)
}

// CacheStatus says whether extensions are from a cache.
type CacheStatus string

const (
	CacheHit   CacheStatus = "hit"   // from the cache
	CacheMiss  CacheStatus = "miss"  // read from the database
	CacheStale CacheStatus = "stale" // an older copy from the cache, because the database could not be read
)

// join returns the status of several extensions: that of the one which depended most on the database.
func (s CacheStatus) join(other CacheStatus) CacheStatus {
	if s == "" || s == CacheHit && other != "" || other == CacheStale {
		return other
	}
	return s
}

// Command is a database command. Exchanges may share a command.
type Command struct {
	Began, Ended time.Time
	Keys         int // number of keys
}

// Starter is a Store whose reads need no goroutine.
type Starter interface {
	Store

	// Start starts Find and returns immediately. It calls done once with the result, in any goroutine, also before it
	// returns.
	Start(ctx context.Context, src *Source, keys []Key, done func([]Extension))
}

// Start starts Find of a Store, which has a goroutine if the Store is no [Starter].
func Start(ctx context.Context, store Store, src *Source, keys []Key, done func([]Extension)) {
	if s, ok := store.(Starter); ok {
		s.Start(ctx, src, keys, done)
		return
	}
	go func() { done(find(ctx, store, src, keys)) }()
}

// find calls Find of a Store. After a panic, or if the number of extensions differs from that of the keys, it returns
// an error for all keys: a bug in a Store must not end the process or mix up keys.
func find(ctx context.Context, store Store, src *Source, keys []Key) (found []Extension) {
	defer func() {
		if err := AsPanic(recover()); err != nil {
			found = failAll(len(keys), err)
		}
	}()
	found = store.Find(ctx, src, keys)
	if len(found) != len(keys) {
		return failAll(len(keys), fmt.Errorf("the store returned %d extensions for %d keys", len(found), len(keys)))
	}
	return found
}

// failAll returns n extensions with the same error.
func failAll(n int, err error) []Extension { return slices.Repeat([]Extension{{Err: err}}, n) }
