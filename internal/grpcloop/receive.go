package grpcloop

import (
	"encoding/binary"
	"io"
	"math"
	"strings"

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

// takeHeaders begins a stream, or ends what the other end says on one.
func (c *conn) takeHeaders(f *http2.MetaHeadersFrame) error {
	if f.StreamID%2 == 0 {
		return http2.ConnectionError(http2.ErrCodeProtocol)
	}
	c.mu.Lock()
	s := c.streams[f.StreamID]
	c.mu.Unlock()
	isTrailer := len(f.PseudoFields()) == 0
	switch isNew := c.opened(f.StreamID); {
	case s != nil && s.halfClosed:
		return streamError(f.StreamID, http2.ErrCodeStreamClosed)
	case s != nil && !(isTrailer && f.StreamEnded()):
		return streamError(f.StreamID, http2.ErrCodeProtocol)
	case s != nil:
		c.endInput(s)
		return nil
	case !isNew && isTrailer: // of a stream that is over here
		return nil
	case !isNew:
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case f.Truncated:
		return streamError(f.StreamID, http2.ErrCodeEnhanceYourCalm)
	case isMalformed(f):
		return streamError(f.StreamID, http2.ErrCodeProtocol)
	}
	s, ok := c.begin(f)
	if !ok {
		return streamError(f.StreamID, http2.ErrCodeRefusedStream)
	}
	if s != nil {
		c.run(s)
	}
	return nil
}

// isMalformed reports whether a head is none of a request (RFC 9113, section 8).
func isMalformed(f *http2.MetaHeadersFrame) bool {
	for _, h := range f.RegularFields() {
		switch h.Name {
		case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
			return true
		case "te":
			if h.Value != "trailers" {
				return true
			}
		}
	}
	return f.PseudoValue("method") == "" || f.PseudoValue("scheme") == "" || f.PseudoValue("path") == "" || f.PseudoValue("status") != ""
}

// begin makes a stream, unless there are too many or the connection is to end. What is no gRPC gets an answer at once, and no
// stream.
func (c *conn) begin(f *http2.MetaHeadersFrame) (s *Stream, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusing || c.active >= c.server.maxStreams() {
		return nil, false
	}
	header := f.RegularFields()
	switch {
	case f.PseudoValue("method") != "POST":
		c.writeHeaders(f.StreamID, true, field(":status", "405"))
		return nil, true
	case !isGRPC(lookup(header, "content-type")):
		c.writeHeaders(f.StreamID, true, field(":status", "415"))
		return nil, true
	}
	handler, known := c.server.methods[f.PseudoValue("path")]
	if !known {
		handler = func(*Stream) error {
			return status.Errorf(codes.Unimplemented, "unknown method %s", f.PseudoValue("path"))
		}
	}
	s = newStream(c, f.StreamID, f.Fields, handler)
	s.credit = c.initial
	c.employ(s)
	if f.StreamEnded() {
		s.ended, s.halfClosed = io.EOF, true
	}
	c.streams[f.StreamID] = s
	c.active++
	return s, true
}

// isGRPC reports whether a content-type is that of gRPC, with whatever is in its messages. That of gRPC-Web is another one.
func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

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

// giveCredit has the other end send more, unless the handler is behind, or the other end itself, in taking what the handler says.
// The lock is held.
func (s *Stream) giveCredit() {
	if s.owed < streamWindow/2 || s.backlog >= streamWindow/2 || len(s.queue) >= streamWindow/2 || s.isOver || s.ended != nil {
		return
	}
	_ = s.conn.writer.WriteWindowUpdate(s.id, uint32(s.owed))
	s.owed = 0
}

// credited has the other end send as much again on the connection as has come.
func (c *conn) credited(size int) {
	if c.received += size; c.received < connWindow/2 {
		return
	}
	c.mu.Lock()
	_ = c.writer.WriteWindowUpdate(0, uint32(c.received))
	c.mu.Unlock()
	c.received = 0
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

// takeWindowUpdate lets more be sent.
func (c *conn) takeWindowUpdate(f *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.StreamID == 0 {
		wasBlocked := c.credit <= 0
		if c.credit += int64(f.Increment); c.credit > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		if wasBlocked {
			c.pumpBlocked()
		}
		return nil
	}
	s := c.streams[f.StreamID]
	switch {
	case s == nil && c.isIdle(f.StreamID):
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case s == nil:
		return nil
	}
	if s.credit += int64(f.Increment); s.credit > math.MaxInt32 {
		return streamError(f.StreamID, http2.ErrCodeFlowControl)
	}
	if len(s.queue) > 0 && c.pump(s) {
		c.unblock(s)
	}
	return nil
}

func (c *conn) takeSettings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	initial := c.initial
	err := f.ForeachSetting(func(s http2.Setting) error {
		if err := s.Valid(); err != nil {
			return err
		}
		switch s.ID {
		case http2.SettingInitialWindowSize:
			initial = int64(s.Val)
		case http2.SettingMaxFrameSize:
			c.largest = int(min(s.Val, keptBuffer))
		case http2.SettingHeaderTableSize:
			c.encoder.SetMaxDynamicTableSizeLimit(min(s.Val, 4096))
			c.encoder.SetMaxDynamicTableSize(min(s.Val, 4096))
		}
		return nil
	})
	if err == nil {
		err = c.setInitial(initial)
	}
	if err == nil {
		err = c.writer.WriteSettingsAck()
	}
	return err
}

// setInitial changes the credit with which streams begin, and so that of all there are (RFC 9113, section 6.9.2). The lock is held.
func (c *conn) setInitial(initial int64) error {
	change := initial - c.initial
	if change == 0 {
		return nil
	}
	c.initial = initial
	for _, s := range c.streams {
		if s.credit += change; s.credit > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
	}
	if change > 0 {
		c.pumpBlocked()
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
