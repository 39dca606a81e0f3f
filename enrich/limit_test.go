package enrich

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestLimit fills a Store that stands still, looks at what comes of one call more, and lets the Store go on.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		store := Limit(storeFunc(func(context.Context) ([]byte, error) { <-release; return []byte(`{}`), nil }), 2)
		find := func() Extension { return store.Find(t.Context(), nil, make([]Key, 1))[0] }
		waiting := make(chan Extension, 2)
		for range 2 {
			go func() { waiting <- find() }()
		}
		synctest.Wait()
		for range 3 {
			if ext := find(); !errors.Is(ext.Err, ErrOverloaded) || ext.JSON != nil {
				t.Errorf("beyond the limit: %s, %v", ext.JSON, ext.Err)
			}
		}
		close(release)
		for range 2 {
			if ext := <-waiting; ext.Err != nil {
				t.Error(ext.Err)
			}
		}
		if ext := find(); ext.Err != nil {
			t.Errorf("when the others are done: %v", ext.Err)
		}
	})
}

// TestOverloadedReason: what was refused is not taken for a database that fails.
func TestOverloadedReason(t *testing.T) {
	rule, params := UserProfile()[0], []Value{{Type: Int64, Int: 7}}
	read := Fetch(t.Context(), Limit(nil, 0), rule, params)
	defer read.Stop()
	core, _ := rule.ParseCore([]byte(`{"userId":7,"username":"u","email":"e","createdAt":"c"}`), "")
	answer := rule.Compose(params, core, read.Wait(t.Context(), core), 1<<20)
	if got := answer.Outcome.String(); got != "degraded; reason=overloaded" || answer.Status != 200 {
		t.Errorf("%d, %s", answer.Status, got)
	}
}
