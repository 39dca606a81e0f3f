package grpcloop

import (
	"math/rand/v2"
	"time"

	"golang.org/x/net/http2"
)

// Pings that this end sends, by their data.
var (
	keepalivePing = [8]byte{'a', 'l', 'i', 'v', 'e', '?'} //nolint:gochecknoglobals // a constant, if Go had such
	drainPing     = [8]byte{'d', 'r', 'a', 'i', 'n'}      //nolint:gochecknoglobals // the same
)

// drainTimeout is how long the other end has to answer drainPing. One that does not is told the last word all the same.
const drainTimeout = 5 * time.Second

// watch has the connection grow no older than it may, and looks after the other end.
func (c *conn) watch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	if age := c.server.MaxAge; age > 0 {
		tenth := int64(age / 10)
		c.timers[0] = time.AfterFunc(age+time.Duration(rand.Int64N(2*tenth+1)-tenth), c.drain)
	}
	if c.server.Keepalive > 0 {
		c.timers[1] = time.AfterFunc(c.server.Keepalive, c.lookAfter)
	}
}

// lookAfter ends a connection on which nothing has come for a while, not even the answer to a ping: nobody may be there, or
// somebody who does not read. So it does not wait for the ping to be written.
func (c *conn) lookAfter() {
	seen := c.frames.Load()
	if seen == c.seen && c.asked {
		c.close()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	next := c.server.Keepalive
	if c.asked = seen == c.seen; c.asked {
		_ = c.writer.WritePing(false, keepalivePing)
		c.beside(func() {})
		next = c.server.keepaliveTimeout()
	}
	c.seen = seen
	c.timers[1] = time.AfterFunc(next, c.lookAfter)
}

// drain asks the other end to open no more streams here, with a last word when that has certainly been heard: until
// then it may have opened some (RFC 9113, section 6.8). It does not wait for that to be written.
func (c *conn) drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
	case !c.greeted:
		c.closed = true
		_ = c.raw.Close()
	case !c.draining:
		c.draining = true
		_ = c.writer.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
		_ = c.writer.WritePing(false, drainPing)
		c.timers[2] = time.AfterFunc(drainTimeout, c.drainedLate)
		c.beside(func() {})
	}
}

// drained says the last word.
func (c *conn) drained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining && !c.refusing {
		c.refusing, c.goneID = true, c.lastID
		_ = c.writer.WriteGoAway(c.goneID, http2.ErrCodeNo, nil)
	}
}

func (c *conn) drainedLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.beside(c.drained)
	}
}

// goAway says what was wrong with the connection, which ends.
func (c *conn) goAway(code http2.ErrCode) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.lastID
	if c.refusing {
		last = c.goneID // what was said once may not grow
	}
	_ = c.writer.WriteGoAway(last, code, nil)
}
