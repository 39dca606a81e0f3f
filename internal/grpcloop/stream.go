package grpcloop

import (
	"context"
	"iter"

	"golang.org/x/net/http2/hpack"
)

// Stream is a conversation, of which the handler has one end. It is a coroutine of the connection's loop: [Stream.Receive]
// goes back to the loop until there is a message. Its methods are for the handler's goroutine only, but for Context.
type Stream struct {
	conn   *conn
	id     uint32
	header []hpack.HeaderField
	ctx    context.Context //nolint:containedctx // of the stream, which ends it
	cancel context.CancelFunc

	resume  func() (pause, bool) // runs the handler until it pauses; false when it has returned
	suspend func(pause) bool     // what the handler pauses with

	// The loop's.
	prefix   [5]byte // of the message that is coming
	prefixed int     // bytes of it that are there
	message  []byte
	missing  int // bytes

	// Under the connection's lock.
	running    bool // the handler is not waiting for a message, or somebody is about to resume it
	detached   bool
	inbox      [][]byte
	backlog    int   // bytes in inbox
	owed       int   // bytes that have come, and for which the other end has no credit yet
	halfClosed bool  // no more is to come
	ended      error // once inbox is empty: io.EOF, or that the stream is cancelled; nil while more may come
	begun      bool  // the response's head has gone
	queue      []byte
	credit     int64 // bytes of DATA that may be sent
	isOver     bool  // the handler has returned; what is in queue, and then status, is still to be sent
	status     error
}

// pause is why a handler pauses.
type pause int

const (
	forMessage pause = iota // it wants a message
	toDetach                // it is about to wait for something else
)

func newStream(c *conn, id uint32, header []hpack.HeaderField, handler Handler) *Stream {
	s := &Stream{conn: c, id: id, header: header}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.resume, _ = iter.Pull(func(yield func(pause) bool) {
		s.suspend = yield
		s.status = handler(s)
	})
	return s
}

// Context ends with the stream, however it ends.
func (s *Stream) Context() context.Context { return s.ctx }

// Metadata returns how often metadata with a name came as the stream began, and the last value.
func (s *Stream) Metadata(name string) (n int, value string) {
	for _, f := range s.header {
		if f.Name == name {
			n, value = n+1, f.Value
		}
	}
	return n, value
}

func lookup(header []hpack.HeaderField, name string) string {
	for _, f := range header {
		if f.Name == name {
			return f.Value
		}
	}
	return ""
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
			s.backlog -= len(message)
			s.giveCredit()
			c.mu.Unlock()
			return message, nil
		}
		err := s.ended
		c.mu.Unlock()
		if err != nil {
			return nil, err
		}
		s.suspend(forMessage)
	}
}

// Detach says that the handler is about to wait for something that is no message, or to work for long: until the next
// Receive it goes on in a goroutine of its own, and the connection without it.
func (s *Stream) Detach() {
	s.conn.mu.Lock()
	detached := s.detached
	s.conn.mu.Unlock()
	if !detached {
		s.suspend(toDetach)
	}
}

// run has a stream's handler go on until it waits for a message that is not there, is over, or detaches. The caller has set
// running.
func (c *conn) run(s *Stream) {
	for {
		why, goesOn := s.resume()
		switch {
		case !goesOn:
			c.finish(s)
			return
		case why == toDetach:
			c.detach(s)
			return
		case c.waits(s):
			return
		}
	}
}

// waits reports whether a stream has to wait for a message.
func (c *conn) waits(s *Stream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(s.inbox) > 0 || s.ended != nil {
		return false
	}
	s.running, s.detached = false, false
	return true
}

// detach has a handler go on beside the loop.
func (c *conn) detach(s *Stream) {
	c.mu.Lock()
	s.detached = true
	c.mu.Unlock()
	c.server.running.Add(1)
	go func() {
		defer c.server.running.Done()
		c.run(s)
		c.flush()
		if !c.goesOn() {
			c.close()
		}
	}()
}

// deliver hands a stream a message, or that no more will come, and has its handler go on, unless it does.
func (c *conn) deliver(s *Stream, message []byte, ended error) {
	c.mu.Lock()
	switch {
	case s.isOver:
	case ended != nil && s.ended == nil:
		s.ended = ended
	case ended == nil:
		s.inbox = append(s.inbox, message)
		s.backlog += len(message)
	}
	if s.running {
		c.mu.Unlock()
		return
	}
	s.running = true
	c.mu.Unlock()
	c.run(s)
}

// cancel ends a stream of which the other end wants no more.
func (c *conn) cancel(s *Stream) {
	s.cancel()
	c.mu.Lock()
	delete(c.streams, s.id)
	s.ended, s.inbox, s.queue = errCanceled, nil, nil
	if s.running {
		c.mu.Unlock()
		return
	}
	s.running = true
	c.mu.Unlock()
	c.run(s)
}
