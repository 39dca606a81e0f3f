package envoyhttp

import (
	"time"

	"weft/enrich"
)

// Clock divides the time of an exchange: either weft waits for Envoy, or Envoy waits for weft.
type Clock struct {
	Now func() time.Time

	lap  time.Time // time of the last message or reply
	sent bool      // a reply was sent
}

// Received is called when a message of Envoy has arrived.
func (c *Clock) Received(t *enrich.Times) {
	now := c.Now()
	if t.Began.IsZero() {
		t.Began = now
	} else {
		t.Legacy += now.Sub(c.lap)
		t.Answered = now.Sub(t.Began)
	}
	c.lap = now
}

// Lap returns the time since the last message or reply.
func (c *Clock) Lap() time.Duration { return c.Now().Sub(c.lap) }

// Sends is called before a reply is sent, or before a callback returns.
func (c *Clock) Sends(t *enrich.Times) {
	now := c.Now()
	t.Added += now.Sub(c.lap)
	if !c.sent {
		c.sent, t.Forwarded = true, now.Sub(t.Began)
	}
	c.lap = now
}

// Waited is called after the wait for the reads, which began at began.
func (c *Clock) Waited(t *enrich.Times, began time.Time, reads []enrich.SourceRead) {
	now := c.Now()
	if len(reads) == 0 {
		return
	}
	t.Waiting, t.Waited = began.Sub(t.Began), now.Sub(began)
	for _, r := range reads {
		if r.Cache == enrich.CacheHit {
			continue // not a read of the database
		}
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
