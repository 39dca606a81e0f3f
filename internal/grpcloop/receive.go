package grpcloop

import (
	"encoding/binary"
	"io"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var (
	errCanceled = status.Error(codes.Canceled, "the stream has ended")
	errPartial  = status.Error(codes.Internal, "the other end has said all, but not all of a message")
)

// messageCost is how many bytes a message takes beside its own: an empty one is not free.
const messageCost = 32

// takeData takes a part of a message, or one, or several.
func (c *conn) takeData(f *http2.DataFrame) error {
	size := int(f.Length) // padding counts
	c.credited(size)
	c.mu.Lock()
	s := c.streams[f.StreamID]
	var violation http2.ErrCode
	var ignored bool
	if s != nil {
		switch s.owed += size; {
		case s.halfClosed:
			violation = http2.ErrCodeStreamClosed
		case s.owed > streamWindow:
			violation = http2.ErrCodeFlowControl
		}
		ignored = s.isOver || s.ended != nil
	}
	c.mu.Unlock()
	switch {
	case s == nil && c.isIdle(f.StreamID):
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case s == nil: // it is over here
		return nil
	case violation != 0:
		return streamError(f.StreamID, violation)
	}
	if !ignored {
		if err := s.assemble(f.Data(), func(message []byte) { c.deliver(s, message, nil) }); err != nil {
			c.deliver(s, nil, err)
		}
	}
	if f.StreamEnded() {
		c.endInput(s)
	}
	c.mu.Lock()
	s.giveCredit()
	c.mu.Unlock()
	return nil
}

// endInput notes that the other end has said all.
func (c *conn) endInput(s *Stream) {
	s.halfClosed = true
	if s.prefixed > 0 {
		c.deliver(s, nil, errPartial)
	} else {
		c.deliver(s, nil, io.EOF)
	}
}

// assemble makes messages of the bytes of DATA frames: each has a prefix of a flag (compressed) and its length.
func (s *Stream) assemble(p []byte, got func(message []byte)) error {
	for len(p) > 0 {
		if s.prefixed < len(s.prefix) {
			n := copy(s.prefix[s.prefixed:], p)
			s.prefixed += n
			p = p[n:]
			if s.prefixed < len(s.prefix) {
				return nil
			}
			if s.prefix[0] != 0 {
				return status.Error(codes.Unimplemented, "compressed messages are not taken")
			}
			size := binary.BigEndian.Uint32(s.prefix[1:])
			if limit := s.conn.server.maxMessage(); uint64(size) > uint64(limit) {
				return status.Errorf(codes.ResourceExhausted, "a message of %d bytes; %d are taken", size, limit)
			}
			s.missing = int(size)
			s.message = newMessage(s.missing)
		}
		n := min(s.missing, len(p))
		s.message = append(grow(s.message, n, s.missing), p[:n]...)
		p = p[n:]
		if s.missing -= n; s.missing == 0 {
			s.prefixed = 0
			got(s.message)
			s.message = nil
		}
	}
	return nil
}

// takeReset ends a stream that the other end has given up.
func (c *conn) takeReset(f *http2.RSTStreamFrame) error {
	if c.isIdle(f.StreamID) {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.mu.Lock()
	s := c.streams[f.StreamID]
	c.mu.Unlock()
	if s != nil {
		c.cancel(s)
	}
	return nil
}

func (c *conn) takePing(f *http2.PingFrame) {
	if f.IsAck() {
		if f.Data == drainPing {
			c.drained()
		}
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.writer.WritePing(true, f.Data)
}

func streamError(id uint32, code http2.ErrCode) error {
	return http2.StreamError{StreamID: id, Code: code}
}
