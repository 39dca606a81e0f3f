package extproc

import (
	"time"

	"weft/enrich"
)

// clock divides the time of an exchange in two: that in which weft waits for Envoy, and that in which Envoy waits for
// weft. Without a time source it does nothing.
type clock struct {
	now  func() time.Time // nil if there is none
	lap  time.Time        // when the last message came or the last reply went
	sent bool             // there was a reply
}

// received is called when a message has come, or when none will.
func (c *clock) received(t *enrich.Times) {
	if c.now == nil {
		return
	}
	now := c.now()
	if t.Began.IsZero() {
		t.Began = now
	} else {
		t.Legacy += now.Sub(c.lap)
		t.Answered = now.Sub(t.Began)
	}
	c.lap = now
}

// sends is called when a reply is about to go.
func (c *clock) sends(t *enrich.Times) {
	if c.now == nil {
		return
	}
	now := c.now()
	t.Added += now.Sub(c.lap)
	if !c.sent {
		c.sent, t.Forwarded = true, now.Sub(t.Began)
	}
	c.lap = now
}

// waits calls wait, which is for the store.
func (c *clock) waits(t *enrich.Times, wait func() enrich.Found) enrich.Found {
	if c.now == nil {
		return wait()
	}
	before := c.now()
	found := wait()
	now := c.now()
	if len(found.Reads) == 0 {
		return found
	}
	t.Waiting, t.Waited = before.Sub(t.Began), now.Sub(before)
	for _, r := range found.Reads {
		began, ended := t.Began, now
		if r.Late {
			began = t.Began.Add(t.Answered)
		}
		if r.Command != nil {
			ended = r.Command.Ended
		}
		t.Read = max(t.Read, ended.Sub(began))
	}
	return found
}
