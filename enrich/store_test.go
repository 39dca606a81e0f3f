package enrich

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// storeFunc is a Store that a test scripts.
type storeFunc func(ctx context.Context, key int64) ([]byte, error)

func (f storeFunc) Find(ctx context.Context, _ *Source, key int64) ([]byte, error) {
	return f(ctx, key)
}

func TestFetch(t *testing.T) {
	source := &UserProfile()[0].Source
	t.Run("a document", func(t *testing.T) {
		read := Fetch(t.Context(), storeFunc(func(context.Context, int64) ([]byte, error) { return []byte(`{}`), nil }), source, 7)
		defer read.Stop()
		if ext := read.Wait(t.Context()); string(ext.JSON) != `{}` || ext.Err != nil {
			t.Errorf("%s, %v", ext.JSON, ext.Err)
		}
	})
	t.Run("none", func(t *testing.T) {
		read := Fetch(t.Context(), storeFunc(func(context.Context, int64) ([]byte, error) { return nil, ErrNotFound }), source, 7)
		defer read.Stop()
		if ext := read.Wait(t.Context()); string(ext.JSON) != string(source.Default(7)) || ext.Err != nil {
			t.Errorf("%s, %v", ext.JSON, ext.Err)
		}
	})
	t.Run("an error", func(t *testing.T) {
		failed := errors.New("no reachable servers")
		read := Fetch(t.Context(), storeFunc(func(context.Context, int64) ([]byte, error) { return nil, failed }), source, 7)
		defer read.Stop()
		if ext := read.Wait(t.Context()); ext.JSON != nil || !errors.Is(ext.Err, failed) {
			t.Errorf("%s, %v", ext.JSON, ext.Err)
		}
	})
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := false
			read := Fetch(t.Context(), storeFunc(func(ctx context.Context, _ int64) ([]byte, error) {
				<-ctx.Done()
				ended = true
				return nil, ctx.Err()
			}), source, 7)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
			defer cancel()
			if ext := read.Wait(ctx); !errors.Is(ext.Err, context.DeadlineExceeded) {
				t.Errorf("%s, %v", ext.JSON, ext.Err)
			}
			if waited := time.Since(start); waited != 900*time.Millisecond {
				t.Errorf("waited %v", waited)
			}
			read.Stop()
			if !ended {
				t.Error("Stop returned before the read had ended")
			}
		})
	})
}
