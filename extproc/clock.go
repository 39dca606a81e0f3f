package extproc

import (
	"time"

	"weft/enrich"
)

// clock divides the time of an exchange: either weft waits for Envoy, or Envoy waits for weft.
type clock struct {
	now  func() time.Time
	lap  time.Time // time of the last message or reply
	sent bool      // a reply was sent
}

// received is called when Receive has returned.
func (c *clock) received(t *enrich.Times) {
	now := c.now()
	if t.Began.IsZero() {
		t.Began = now
	} else {
		t.Legacy += now.Sub(c.lap)
		t.Answered = now.Sub(t.Began)
	}
	c.lap = now
}

// sends is called before a reply is sent.
func (c *clock) sends(t *enrich.Times) {
	now := c.now()
	t.Added += now.Sub(c.lap)
	if !c.sent {
		c.sent, t.Forwarded = true, now.Sub(t.Began)
	}
	c.lap = now
}

// waited is called after the wait for the reads, which began at began.
func (c *clock) waited(t *enrich.Times, began time.Time, reads []enrich.SourceRead) {
	now := c.now()
	if len(reads) == 0 {
		return
	}
	t.Waiting, t.Waited = began.Sub(t.Began), now.Sub(began)
	for _, r := range reads {
		readBegan, readEnded := t.Began, now
		if r.Late {
			readBegan = t.Began.Add(t.Answered)
		}
		if r.Command != nil {
			readEnded = r.Command.Ended
		}
		t.Read = max(t.Read, readEnded.Sub(readBegan))
	}
}
