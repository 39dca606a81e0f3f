package enrich

import (
	"context"
	"errors"
)

// Store reads extensions. Package storetest holds the tests that every Store must pass, and a small Store in
// memory.
type Store interface {
	// Find returns the extension of key as one JSON object with exactly src.Fields, in their order. It reads the
	// first document whose src.Key equals key as a number, whatever numeric type either side has.
	//
	// The error is [ErrNotFound] when there is no such document and wraps [ErrWrongType] when one of its fields is
	// not what src asks for. Anything else, ctx's own error included, means that the document could not be read.
	// The bytes belong to the caller. src is compared by address: the same Source is passed as the same pointer.
	Find(ctx context.Context, src *Source, key int64) ([]byte, error)
}

var (
	ErrNotFound  = errors.New("no such document")
	ErrWrongType = errors.New("wrong type")
)

// Extension is the outcome of a read: one JSON object, or the error that stands for it.
type Extension struct {
	JSON []byte
	Err  error
}

// Read is a read that is under way.
type Read struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when extension is set
	result Extension     // written before done is closed
}

// Fetch starts to read the extension of key and returns at once. The caller must call [Read.Stop].
func Fetch(ctx context.Context, store Store, src *Source, key int64) *Read {
	ctx, cancel := context.WithCancel(ctx)
	r := &Read{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		json, err := store.Find(ctx, src, key)
		if errors.Is(err, ErrNotFound) {
			json, err = src.Default(key), nil
		}
		r.result = Extension{JSON: json, Err: err}
	}()
	return r
}

// Wait returns the extension, or ctx's error when ctx ends first.
func (r *Read) Wait(ctx context.Context) Extension {
	select {
	case <-r.done:
		return r.result
	case <-ctx.Done():
		return Extension{Err: ctx.Err()}
	}
}

// Stop cancels the read if it is still under way, and returns when it has ended.
func (r *Read) Stop() {
	r.cancel()
	<-r.done
}
