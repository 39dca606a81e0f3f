package enrich

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Store reads extensions. Package storetest holds the tests that every Store must pass, and a small Store in memory.
// Stores that wrap another one are [Batch] and [Limit].
type Store interface {
	// Find returns one Extension for each key, in their order: a JSON object with exactly src.Fields, in their order, made
	// from the first document that meets all conditions of src. Numbers are equal by value, whatever numeric type either
	// side has. If there are several keys, they differ in one condition only. Find returns when ctx ends, at the latest.
	//
	// The error of an Extension is [ErrNotFound] if there is no such document. It wraps [ErrWrongType] if one of its
	// fields is not what src asks for, or is missing and has no default, or if the field of a condition holds something
	// that equals the key without being one (a Decimal128, an array). Any other error means that the document could not be
	// read. The bytes must not be changed: other callers may have the same ones.
	Find(ctx context.Context, src *Source, keys []Key) []Extension
}

// Errors of an Extension.
var (
	ErrNotFound  = errors.New("no such document")
	ErrWrongType = errors.New("wrong type")

	errCoreFailed     = errors.New("its key is in the core, which failed")
	errAnswerTooLarge = errors.New("with the extensions the answer would be too large")
)

// Extension is the result of a read: one JSON object, or an error.
type Extension struct {
	JSON []byte
	Err  error

	Command *Command // that read it; nil if the Store does not say
}

// Command is a command to the database. Several exchanges may share one.
type Command struct {
	Began, Ended time.Time
	Keys         int // how many it asked for
}

// find calls Find of a Store. A panic, or a number of extensions that is not that of the keys, is the error of all keys:
// either is a bug of the Store, which must not end the process or mix keys.
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

// failAll returns as many extensions, all with the same error.
func failAll(n int, err error) []Extension {
	extensions := make([]Extension, n)
	for i := range extensions {
		extensions[i].Err = err
	}
	return extensions
}
