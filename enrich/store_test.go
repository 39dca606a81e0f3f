package enrich

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// storeFunc is a Store that a test scripts.
type storeFunc func(ctx context.Context) ([]byte, error)

func (f storeFunc) Find(ctx context.Context, _ *Source, keys []Key) []Extension {
	json, err := f(ctx)
	return slices.Repeat([]Extension{{JSON: json, Err: err}}, len(keys))
}

func TestFetch(t *testing.T) {
	rule, params := UserProfile()[0], []Value{{Type: Int64, Int: 7}}
	t.Run("a document", func(t *testing.T) {
		read := Fetch(t.Context(), storeFunc(func(context.Context) ([]byte, error) { return []byte(`{}`), nil }), rule, params)
		defer read.Stop()
		if ext := read.Wait(t.Context(), Core{}).of(0, 0); string(ext.JSON) != `{}` || ext.Err != nil {
			t.Errorf("%s, %v", ext.JSON, ext.Err)
		}
	})
	t.Run("none", func(t *testing.T) {
		read := Fetch(t.Context(), storeFunc(func(context.Context) ([]byte, error) { return nil, ErrNotFound }), rule, params)
		defer read.Stop()
		if ext := read.Wait(t.Context(), Core{}).of(0, 0); string(ext.JSON) != string(rule.Sources[0].Default(Key(params))) || ext.Err != nil {
			t.Errorf("%s, %v", ext.JSON, ext.Err)
		}
	})
	t.Run("an error", func(t *testing.T) {
		failed := errors.New("no reachable servers")
		read := Fetch(t.Context(), storeFunc(func(context.Context) ([]byte, error) { return nil, failed }), rule, params)
		defer read.Stop()
		if ext := read.Wait(t.Context(), Core{}).of(0, 0); ext.JSON != nil || !errors.Is(ext.Err, failed) {
			t.Errorf("%s, %v", ext.JSON, ext.Err)
		}
	})
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ended := false
			read := Fetch(t.Context(), storeFunc(func(ctx context.Context) ([]byte, error) {
				<-ctx.Done()
				ended = true
				return nil, ctx.Err()
			}), rule, params)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
			defer cancel()
			if ext := read.Wait(ctx, Core{}).of(0, 0); !errors.Is(ext.Err, context.DeadlineExceeded) {
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
