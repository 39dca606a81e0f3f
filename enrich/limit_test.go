package enrich

import (
	"errors"
	"testing"
	"testing/synctest"
)

// TestLimitRejects blocks the maximum number of reads, tries one more, and unblocks them.
func TestLimitRejects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := newHeldStore()
		store := Limit(held, 2)
		results := make(chan error, 10)
		find := func() {
			go func() { results <- store.Find(t.Context(), nil, make([]Key, 1))[0].Err }()
			synctest.Wait()
		}
		expect := func(what string, want error) {
			t.Helper()
			select {
			case err := <-results:
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
			default:
				t.Errorf("%s: no result", what)
			}
		}
		find()
		find()
		for range 3 {
			find()
			expect("beyond the limit", ErrOverloaded)
		}
		held.answer <- Extension{}
		synctest.Wait()
		expect("within the limit", nil)
		find()
		find()
		expect("beyond the limit again", ErrOverloaded)
		held.answer <- Extension{}
		held.answer <- Extension{}
		synctest.Wait()
	})
}

// TestOverloadedReason: the reason for a rejected read differs from that for a failed one.
func TestOverloadedReason(t *testing.T) {
	rule, params := readRule()
	read := Fetch(t.Context(), Limit(nil, 0), rule, params)
	defer read.Stop()
	core, _ := rule.ParseCore([]byte(`{}`), "")
	answer := rule.Compose(params, core, read.Await(core, 0), 1<<20)
	if got := answer.Outcome.String(); got != "degraded; reason=overloaded" || answer.Status != 0 {
		t.Errorf("%d, %s", answer.Status, got)
	}
}
