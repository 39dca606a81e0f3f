package grpcloop

import (
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// streamWindow is how many bytes of a stream may come before its conversation has received them.
	streamWindow = 256 << 10
	// connWindow is that of a connection. What has come is kept by the streams, so it is given back as it comes.
	connWindow = 16 << 20

	maxHeaderBytes = 64 << 10
	maxFrame       = 16 << 10 // bytes of one that comes: what HTTP/2 has where nothing else is said
	readBuffer     = 32 << 10
	keptBuffer     = 256 << 10 // a larger buffer is not kept for the next answers

	// lastWords is how long the other end has to take what is said last, and to close the connection itself: to close one on
	// which something has come that is not read yet would have the kernel drop what is still to be sent.
	lastWords = time.Second
)

// conn is a connection. Its loop is [conn.serve], in one goroutine: what is not said otherwise is that goroutine's alone.
type conn struct {
	server *Server
	raw    net.Conn // as it was accepted
	nc     net.Conn // raw, or TLS on it; set once, before there are streams
	frames atomic.Int64

	framer   *http2.Framer // reads
	received int           // bytes of DATA for which the other end has no credit yet

	seen  int64 // frames, when lookAfter looked last; these two are its own
	asked bool  // it has sent a ping since

	mu      sync.Mutex // for what follows
	changed *sync.Cond // less is to be sent, or the connection has ended
	streams map[uint32]*Stream
	active  int    // conversations that are not over: those of streams, and of streams that were reset
	lastID  uint32 // of the stream that came last; only the loop changes it

	idle  []*worker
	awake []*Stream // those that have been woken, and are to go on beside the loop

	out     []byte        // what is to be written
	spare   []byte        // the buffer that out had before
	writing bool          // somebody writes, and will write what is added to out, too
	writer  *http2.Framer // to out
	header  []byte        // a header block, in the making
	encoder *hpack.Encoder
	blocked []*Stream // those that have more to send than they may
	credit  int64     // bytes of DATA that may be sent
	initial int64     // those of a stream that begins
	largest int       // bytes of a frame

	greeted  bool // there has been a handshake
	closed   bool
	draining bool // a GOAWAY has gone
	refusing bool // the last one: streams beyond goneID are not taken any more
	goneID   uint32
	timers   [3]*time.Timer // of age, keepalive and drain; nil if there are none
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, raw: nc, nc: nc, streams: map[uint32]*Stream{}, credit: 65535, initial: 65535, largest: 16384}
	c.changed = sync.NewCond(&c.mu)
	c.writer = http2.NewFramer((*outWriter)(c), nil)
	c.encoder = hpack.NewEncoder((*headerWriter)(c))
	return c
}

// outWriter adds to what is to be written, headerWriter to the header block in the making. The lock is held.
type (
	outWriter    conn
	headerWriter conn
)

func (w *outWriter) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	return len(p), nil
}

func (w *headerWriter) Write(p []byte) (int, error) {
	w.header = append(w.header, p...)
	return len(p), nil
}

// secured takes the connection that a handshake has made. It reports whether there is still use for it.
func (c *conn) secured(secure net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc = secure
	return !c.closed
}

// close ends the connection at once: TLS would have a farewell, for which it may have to wait.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.changed.Broadcast()
	_ = c.raw.Close()
}

// end ends the connection, and with it the conversations that are still going on.
func (c *conn) end() {
	c.mu.Lock()
	left := slices.Collect(maps.Values(c.streams))
	greeted, allSaid := c.greeted, c.isOver()
	c.mu.Unlock()
	for _, s := range left {
		c.cancel(s)
	}
	if greeted {
		c.part(allSaid)
	}
	_ = c.nc.Close()
	c.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.timers {
		if t != nil {
			t.Stop()
		}
	}
	for _, w := range c.idle {
		w.stop()
	}
	c.idle = nil
}

// part writes what is still to be written, and has the other end close the connection, if it does. One who has got all answers may
// take its time to read them; there is no reason to wait for others.
func (c *conn) part(allSaid bool) {
	if !allSaid {
		_ = c.nc.SetWriteDeadline(time.Now().Add(lastWords))
	}
	c.flush()
	c.mu.Lock()
	for c.writing && !c.closed {
		c.changed.Wait()
	}
	closed := c.closed
	c.mu.Unlock()
	if !closed {
		_ = c.nc.SetReadDeadline(time.Now().Add(lastWords))
		_, _ = io.Copy(io.Discard, c.nc)
	}
}

// flush writes what is to be written, unless somebody does already, who will write that, too.
func (c *conn) flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return
	}
	c.writing = true
	for len(c.out) > 0 && !c.closed {
		out := c.out
		c.out = c.spare[:0]
		c.mu.Unlock()
		_, err := c.nc.Write(out)
		c.mu.Lock()
		if c.spare = out[:0]; cap(out) > keptBuffer {
			c.spare = nil
		}
		if err != nil {
			c.closed = true
			_ = c.raw.Close()
		}
		c.changed.Broadcast()
	}
	c.writing = false
	c.changed.Broadcast()
}
