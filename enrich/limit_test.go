package enrich

import (
	"errors"
	"testing"
)

// TestLimit fills a Store that stands still, looks at what comes of one call more, and lets the Store go on.
func TestLimit(t *testing.T) {
	held := &heldStore{}
	store := Limit(held, 2)
	var answers []Extension
	find := func() (giveUp func()) {
		return store.Find(nil, make([]Key, 1), func(found []Extension) { answers = append(answers, found...) })
	}
	find()
	giveUp := find()
	for range 3 {
		find()
	}
	for _, ext := range answers {
		if !errors.Is(ext.Err, ErrOverloaded) || ext.JSON != nil {
			t.Errorf("beyond the limit: %s, %v", ext.JSON, ext.Err)
		}
	}
	if len(answers) != 3 || len(held.answer) != 2 {
		t.Fatalf("%d answers, %d reads", len(answers), len(held.answer))
	}
	for name, end := range map[string]func(){
		"answered": func() { held.answer[0]([]byte(`{}`), nil) },
		"given up": func() { giveUp(); giveUp(); held.answer[1]([]byte(`{}`), nil) }, // is one that is over, not three
	} {
		before := len(held.answer)
		end()
		find()
		find()
		if n := len(held.answer) - before; n != 1 {
			t.Errorf("when one is %s, %d may begin", name, n)
		}
	}
}

// TestOverloadedReason: what was refused is not taken for a database that fails.
func TestOverloadedReason(t *testing.T) {
	rule, params := UserProfile()[0], []Value{{Type: Int64, Int: 7}}
	read := Fetch(Limit(nil, 0), rule, params)
	defer read.Stop()
	core, _ := rule.ParseCore([]byte(`{"userId":7,"username":"u","email":"e","createdAt":"c"}`), "")
	answer := rule.Compose(params, core, read.Found(core, nil), 1<<20)
	if got := answer.Outcome.String(); got != "degraded; reason=overloaded" || answer.Status != 200 {
		t.Errorf("%d, %s", answer.Status, got)
	}
}
