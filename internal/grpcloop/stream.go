package grpcloop

import (
	"context"
	"time"

	"golang.org/x/net/http2/hpack"
)

// Stream is a conversation, of which the handler has one end. The handler runs in the connection's loop until it waits:
// [Stream.Receive] and [Stream.Await] go back to the loop, which has it go on when there is something to go on with. Its methods are for
// the handler's goroutine only, but for Context.
type Stream struct {
	conn    *conn
	id      uint32
	header  []hpack.HeaderField
	handler Handler
	worker  *worker         // runs the handler
	ctx     context.Context //nolint:containedctx // of the stream, which ends it
	cancel  context.CancelFunc

	// The loop's.
	prefix     [5]byte // of the message that is coming
	prefixed   int     // bytes of it that are there
	message    []byte
	missing    int  // bytes
	halfClosed bool // no more is to come

	// Under the connection's lock.
	waits    pause // what the handler waits for; running if it does not, or if somebody is about to have it go on
	detached bool
	wait     int // how often the handler has begun to wait for a wake
	woken    int // which of these waits are over
	timedOut bool
	inbox    [][]byte
	backlog  int   // bytes that inbox takes
	owed     int   // bytes that have come, and for which the other end has no credit yet
	ended    error // once inbox is empty: io.EOF, or that the stream is cancelled; nil while more may come
	begun    bool  // the response's head has gone
	queue    []byte
	credit   int64 // bytes of DATA that may be sent
	isOver   bool  // the handler has returned; what is in queue, and then status, may still be to be sent
	status   error
}

// pause is why a handler does not run.
type pause int

const (
	running    pause = iota
	forMessage       // it wants a message
	forWake          // it waits for something else
	toDetach         // it is to go on beside the loop
	returned
)

func newStream(c *conn, id uint32, header []hpack.HeaderField, handler Handler) *Stream {
	s := &Stream{conn: c, id: id, header: header, handler: handler}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

func lookup(header []hpack.HeaderField, name string) string {
	for _, f := range header {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
}

// Context ends with the stream, however it ends.
func (s *Stream) Context() context.Context { return s.ctx }

// Authority returns what the other end calls this one.
func (s *Stream) Authority() string { return lookup(s.header, ":authority") }

// Metadata returns how often metadata with a name came as the stream began, and the last value.
func (s *Stream) Metadata(name string) (n int, value string) {
	for _, f := range s.header {
		if f.Name == name {
			n, value = n+1, f.Value
		}
	}
	return n, value
}

// Receive returns the next message, which is the caller's to keep. The error is io.EOF when the other end has said all, and has the
// status Canceled when the stream or the connection has ended.
func (s *Stream) Receive() ([]byte, error) {
	c := s.conn
	for {
		c.mu.Lock()
		if len(s.inbox) > 0 {
			message := s.inbox[0]
			s.inbox[0] = nil
			if s.inbox = s.inbox[1:]; len(s.inbox) == 0 {
				s.inbox = nil
			}
			s.backlog -= len(message) + messageCost
			s.giveCredit()
			c.mu.Unlock()
			return message, nil
		}
		err := s.ended
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		s.worker.suspend(forMessage)
	}
}

// Await calls begin, which has wake called when there is something to go on with, by any goroutine, once or more often, and waits for
// that. Messages do not end it. Whether it was woken is reported, rather than that the time was over (0 is without end), or
// the stream.
func (s *Stream) Await(most time.Duration, begin func(wake func())) bool {
	c := s.conn
	c.mu.Lock()
	s.wait++
	this := s.wait
	s.timedOut = false
	c.mu.Unlock()
	if most > 0 {
		timer := time.AfterFunc(most, func() { c.wake(s, this, true) })
		defer timer.Stop()
	}
	begin(func() { c.wake(s, this, false) })
	for {
		c.mu.Lock()
		woken, ended := s.woken == this, s.ended == errCanceled //nolint:errorlint // it is this very one
		timedOut := s.timedOut
		c.mu.Unlock()
		if woken || ended {
			return woken && !timedOut
		}
		s.worker.suspend(forWake)
	}
}

// Detach says that the handler is going to block, or to work for long: until the next Receive or Await it goes on in a
// goroutine of its own, and the connection without it.
func (s *Stream) Detach() {
	s.conn.mu.Lock()
	detached := s.detached
	s.conn.mu.Unlock()
	if !detached {
		s.worker.suspend(toDetach)
	}
}

// run has a stream's handler go on until it has to wait, is over, or detaches. The caller has set waits to running.
func (c *conn) run(s *Stream) {
	for {
		switch why := s.worker.goOn(); {
		case why == returned:
			c.finish(s)
			return
		case why == toDetach:
			c.detach(s)
			return
		case c.suspended(s, why):
			return
		}
	}
}

// suspended reports whether there is nothing yet for which a handler waits.
func (c *conn) suspended(s *Stream, why pause) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.ended == errCanceled, //nolint:errorlint // it is this very one
		why == forMessage && (len(s.inbox) > 0 || s.ended != nil),
		why == forWake && s.woken == s.wait:
		return false
	}
	s.waits, s.detached = why, false
	return true
}

// detach has a handler go on beside the loop.
func (c *conn) detach(s *Stream) {
	c.mu.Lock()
	s.detached = true
	c.mu.Unlock()
	c.beside(func() { c.run(s) })
}

// beside runs what is not the loop's, in a goroutine, and writes what comes of it. The connection has not ended, so the server still
// waits for it.
func (c *conn) beside(run func()) {
	c.server.running.Add(1)
	go func() {
		defer c.server.running.Done()
		run()
		c.flush()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.isOver() {
			_ = c.nc.SetReadDeadline(time.Unix(1, 0)) // the loop may be waiting for more
		}
	}()
}

// wake ends a wait of a handler. Those that wait are run one after the other, so that what they send is written at once.
func (c *conn) wake(s *Stream, wait int, timedOut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.wait != wait || s.woken == wait {
		return
	}
	s.woken, s.timedOut = wait, timedOut
	if s.waits != forWake {
		return // it has not begun to wait
	}
	s.waits = running
	c.awake = append(c.awake, s)
	if len(c.awake) == 1 {
		c.beside(c.runAwake)
	}
}

func (c *conn) runAwake() {
	for i := 0; ; i++ {
		c.mu.Lock()
		if i == len(c.awake) {
			clear(c.awake)
			c.awake = c.awake[:0]
			c.mu.Unlock()
			return
		}
		s := c.awake[i]
		c.mu.Unlock()
		c.run(s)
	}
}

// deliver hands a stream a message, or that no more will come.
func (c *conn) deliver(s *Stream, message []byte, ended error) {
	c.mu.Lock()
	switch {
	case s.isOver:
	case ended == nil:
		s.inbox = append(s.inbox, message)
		s.backlog += len(message) + messageCost
	case s.ended == nil:
		s.ended = ended
	}
	goOn := s.waits == forMessage
	if goOn {
		s.waits = running
	}
	c.mu.Unlock()
	if goOn {
		c.run(s)
	}
}

// cancel ends a stream of which the other end wants no more, unless it is over.
func (c *conn) cancel(s *Stream) {
	s.cancel()
	c.mu.Lock()
	if c.streams[s.id] != s {
		c.mu.Unlock()
		return
	}
	delete(c.streams, s.id)
	if len(s.queue) > 0 {
		c.unblock(s)
		c.changed.Broadcast()
	}
	if s.isOver {
		c.active--
	}
	s.ended, s.inbox, s.queue = errCanceled, nil, nil
	goOn := s.waits == forMessage || s.waits == forWake
	if goOn {
		s.waits = running
	}
	c.mu.Unlock()
	if goOn {
		c.run(s)
	}
}
