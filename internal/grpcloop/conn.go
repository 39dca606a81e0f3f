package grpcloop

import (
	"bufio"
	"errors"
	"io"
	"net"
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
	readBuffer     = 32 << 10
	keptBuffer     = 256 << 10 // a larger buffer is not kept for the next answers
)

// Pings that this end sends, by their data.
var (
	keepalivePing = [8]byte{'a', 'l', 'i', 'v', 'e', '?'}
	drainPing     = [8]byte{'d', 'r', 'a', 'i', 'n'}
)

// conn is a connection. Its loop is [conn.serve], in one goroutine: what is not said otherwise is that goroutine's alone.
type conn struct {
	server *Server
	nc     net.Conn // set once, before there are streams
	frames atomic.Int64

	framer   *http2.Framer // reads
	received int           // bytes of DATA for which the other end has no credit yet
	lastID   uint32        // of the stream that came last

	seen  int64 // frames, when lookAfter looked last; these two are its own
	asked bool  // it has sent a ping since

	mu      sync.Mutex // for what follows
	streams map[uint32]*Stream
	active  int // conversations that are not over: those of streams, and of streams that were reset

	idle  []*worker
	awake []*Stream // those that have been woken, and are to go on beside the loop

	out      []byte        // what is to be written
	spare    []byte        // the buffer that out had before
	writing  bool          // somebody writes, and will write what is added to out, too
	writer   *http2.Framer // to out
	header   []byte        // a header block, in the making
	encoder  *hpack.Encoder
	blocked  []*Stream // those that have more to send than they may
	credit   int64     // bytes of DATA that may be sent
	initial  int64     // those of a stream that begins
	maxFrame int       // bytes

	greeted  bool // there has been a handshake
	closed   bool
	draining bool // a GOAWAY has gone
	refusing bool // the last one: streams beyond goneID are not taken any more
	goneID   uint32
	timers   [2]*time.Timer // of age and keepalive; nil if there are none
}

func newConn(s *Server, nc net.Conn) *conn {
	c := &conn{server: s, nc: nc, streams: map[uint32]*Stream{}, credit: 65535, initial: 65535, maxFrame: 16384}
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

// flushingReader writes what is to be written before it waits for more to read.
type flushingReader conn

func (r *flushingReader) Read(p []byte) (int, error) {
	(*conn)(r).flush()
	return r.nc.Read(p)
}

// serve is the loop. It returns when the connection has ended, and all that is not detached with it.
func (c *conn) serve() {
	defer c.end()
	_ = c.nc.SetDeadline(time.Now().Add(c.server.handshakeTimeout()))
	secure, err := c.server.handshake(c.nc)
	if err != nil || !c.secured(secure) {
		return
	}
	reader := bufio.NewReaderSize((*flushingReader)(c), readBuffer)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(reader, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	c.framer = http2.NewFramer(nil, reader)
	c.framer.SetReuseFrames()
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.MaxHeaderListSize = maxHeaderBytes
	c.greet()
	if first, err := c.framer.ReadFrame(); err != nil || c.first(first) != nil {
		return
	}
	_ = c.nc.SetDeadline(time.Time{})
	c.watch()
	for {
		frame, err := c.framer.ReadFrame()
		if err == nil {
			c.frames.Add(1)
			err = c.take(frame)
		}
		if err != nil && !c.survives(err) || !c.goesOn() {
			return
		}
	}
}

// survives says what was wrong with a stream or the connection. It reports whether that goes on.
func (c *conn) survives(err error) bool {
	var ofStream http2.StreamError
	var ofConn http2.ConnectionError
	switch {
	case errors.As(err, &ofStream):
		c.reset(ofStream.StreamID, ofStream.Code)
		return true
	case errors.As(err, &ofConn):
		c.goAway(http2.ErrCode(ofConn))
	}
	return false
}

// secured takes the connection that a handshake has made. It reports whether there is still use for it.
func (c *conn) secured(secure net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nc = secure
	return !c.closed
}

// greet says what this end takes.
func (c *conn) greet() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greeted = true
	_ = c.writer.WriteSettings(
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(c.server.maxStreams())},
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: streamWindow},
		http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaderBytes},
	)
	_ = c.writer.WriteWindowUpdate(0, connWindow-65535)
}

// first takes the first frame, which must be of settings (RFC 9113, section 3.4).
func (c *conn) first(frame http2.Frame) error {
	if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
		return c.takeSettings(settings)
	}
	return http2.ConnectionError(http2.ErrCodeProtocol)
}

// take takes a frame. An error of the connection, or of a stream, ends that.
func (c *conn) take(frame http2.Frame) error {
	switch f := frame.(type) {
	case *http2.DataFrame:
		return c.takeData(f)
	case *http2.MetaHeadersFrame:
		return c.takeHeaders(f)
	case *http2.RSTStreamFrame:
		return c.takeReset(f)
	case *http2.WindowUpdateFrame:
		return c.takeWindowUpdate(f)
	case *http2.SettingsFrame:
		return c.takeSettings(f)
	case *http2.PingFrame:
		c.takePing(f)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	return nil // a GOAWAY asks for nothing: streams finish, and the other end closes
}

// goesOn reports whether there is more to do on a connection: one that was told to go away is over with its streams. Answers
// that are much together are written now.
func (c *conn) goesOn() bool {
	c.mu.Lock()
	over, much := c.closed || c.refusing && c.active == 0 && len(c.streams) == 0, len(c.out) > keptBuffer
	c.mu.Unlock()
	if much {
		c.flush()
	}
	return !over
}

// drain asks the other end to open no more streams here, with a last word when that has certainly been heard: until
// then it may have opened some (RFC 9113, section 6.8).
func (c *conn) drain() {
	c.mu.Lock()
	switch {
	case !c.greeted:
		c.closed = true
		_ = c.nc.Close()
	case !c.draining:
		c.draining = true
		_ = c.writer.WriteGoAway(1<<31-1, http2.ErrCodeNo, nil)
		_ = c.writer.WritePing(false, drainPing)
	}
	c.mu.Unlock()
	c.flush()
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

// goAway says what was wrong with the connection, which ends.
func (c *conn) goAway(code http2.ErrCode) {
	c.mu.Lock()
	_ = c.writer.WriteGoAway(c.lastID, code, nil)
	c.mu.Unlock()
}

// close ends the connection at once.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	_ = c.nc.Close()
}

// end ends the connection, and with it the conversations that are still going on.
func (c *conn) end() {
	c.flush()
	c.close()
	c.mu.Lock()
	for _, t := range c.timers {
		if t != nil {
			t.Stop()
		}
	}
	for _, w := range c.idle {
		w.stop()
	}
	c.idle = nil
	left := make([]*Stream, 0, len(c.streams))
	for _, s := range c.streams {
		left = append(left, s)
	}
	c.mu.Unlock()
	for _, s := range left {
		c.cancel(s)
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
			_ = c.nc.Close()
		}
	}
	c.writing = false
}
