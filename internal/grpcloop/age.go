package grpcloop

import (
	"math/rand/v2"
	"time"
)

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
// somebody who does not read.
func (c *conn) lookAfter() {
	next := c.server.Keepalive
	switch seen := c.frames.Load(); {
	case seen != c.seen:
		c.seen, c.asked = seen, false
	case c.asked:
		c.close()
		return
	default:
		c.asked = true
		c.mu.Lock()
		_ = c.writer.WritePing(false, keepalivePing)
		c.mu.Unlock()
		c.flush()
		next = c.server.KeepaliveTimeout
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.timers[1] = time.AfterFunc(next, c.lookAfter)
	}
}
