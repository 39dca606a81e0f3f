package grpcloop

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/status"
)

// Send sends a message, of two parts that follow each other. It does not wait: what the other end does not take yet is kept. But
// for a handler that is detached it may write, which can take a while. The error has the status Canceled when the stream or the
// connection has ended.
func (s *Stream) Send(head, rest []byte) error {
	c := s.conn
	c.mu.Lock()
	err := s.send(head, rest)
	detached := s.detached
	c.mu.Unlock()
	if detached && err == nil {
		c.flush() // nobody knows when the loop, or the handler, comes to that
	}
	return err
}

// send is Send, with the lock held.
func (s *Stream) send(head, rest []byte) error {
	c := s.conn
	if s.ended == errCanceled { //nolint:errorlint // it is this very one
		return errCanceled
	}
	if !s.begun {
		s.begun = true
		c.writeHeaders(s.id, false, field(":status", "200"), field("content-type", "application/grpc"))
	}
	var prefix [5]byte
	binary.BigEndian.PutUint32(prefix[1:], uint32(len(head)+len(rest)))
	parts := [...][]byte{prefix[:], head, rest}
	left := parts[:]
	if len(s.queue) == 0 {
		if left = c.writeData(s, left); len(left) > 0 {
			c.blocked = append(c.blocked, s)
		}
	}
	for _, p := range left {
		s.queue = append(s.queue, p...)
	}
	return nil
}

// writeData writes parts of messages as far as the other end takes them, and returns the rest. The lock is held.
func (c *conn) writeData(s *Stream, parts [][]byte) [][]byte {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	for size > 0 {
		n := int(min(int64(size), s.credit, c.credit, int64(c.largest)))
		if n <= 0 {
			return parts
		}
		c.out = dataHeader(c.out, s.id, n)
		s.credit -= int64(n)
		c.credit -= int64(n)
		for size -= n; n > 0; {
			taken := min(n, len(parts[0]))
			c.out = append(c.out, parts[0][:taken]...)
			n -= taken
			if parts[0] = parts[0][taken:]; len(parts[0]) == 0 {
				parts = parts[1:]
			}
		}
	}
	return nil
}

// awaitRoom returns when the other end is not far behind, or the stream has ended. The handler is detached.
func (s *Stream) awaitRoom() {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	for s.ended != errCanceled && !c.closed && (len(s.queue) > streamWindow || len(c.out) > keptBuffer && c.writing) { //nolint:errorlint // the same
		c.changed.Wait()
	}
}

// pump sends of a stream's queue what it may. It reports whether that was all. The lock is held.
func (c *conn) pump(s *Stream) bool {
	if len(s.queue) > 0 {
		if rest := c.writeData(s, [][]byte{s.queue}); len(rest) > 0 {
			s.queue = rest[0]
			return false
		}
		s.queue = nil
		s.giveCredit()
		c.changed.Broadcast()
	}
	if s.isOver && s.ended != errCanceled { //nolint:errorlint // the same
		c.writeTrailers(s)
	}
	return true
}

// unblock notes that a stream has no more to send than it may. The lock is held.
func (c *conn) unblock(s *Stream) {
	if i := slices.Index(c.blocked, s); i >= 0 {
		c.blocked = slices.Delete(c.blocked, i, i+1)
	}
}

// pumpBlocked sends more of all that could not be sent. The lock is held.
func (c *conn) pumpBlocked() {
	left := c.blocked[:0]
	for _, s := range c.blocked {
		if !c.pump(s) {
			left = append(left, s)
		}
	}
	clear(c.blocked[len(left):])
	c.blocked = left
}

// finish ends a stream whose handler has returned.
func (c *conn) finish(s *Stream) {
	s.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dismiss(s)
	s.isOver = true
	switch {
	case s.ended == errCanceled: //nolint:errorlint // the same
		c.active--
	case len(s.queue) == 0:
		c.writeTrailers(s)
	}
}

// writeTrailers says how a stream has ended: in its head if there was none yet. The lock is held.
func (c *conn) writeTrailers(s *Stream) {
	delete(c.streams, s.id)
	c.active--
	result, ok := status.FromError(s.status)
	if !ok {
		result = status.FromContextError(s.status)
	}
	fields := make([]hpack.HeaderField, 0, 4)
	if !s.begun {
		fields = append(fields, field(":status", "200"), field("content-type", "application/grpc"))
	}
	fields = append(fields, field("grpc-status", strconv.Itoa(int(result.Code()))))
	if m := result.Message(); m != "" {
		fields = append(fields, field("grpc-message", percentEncoded(m)))
	}
	c.writeHeaders(s.id, true, fields...)
}

// reset ends a stream with which something is wrong.
func (c *conn) reset(id uint32, code http2.ErrCode) {
	c.mu.Lock()
	_ = c.writer.WriteRSTStream(id, code)
	s := c.streams[id]
	c.mu.Unlock()
	if s != nil {
		c.cancel(s)
	}
}

func field(name, value string) hpack.HeaderField { return hpack.HeaderField{Name: name, Value: value} }

// writeHeaders writes a head, or trailers. The lock is held.
func (c *conn) writeHeaders(id uint32, last bool, fields ...hpack.HeaderField) {
	c.header = c.header[:0]
	for _, f := range fields {
		_ = c.encoder.WriteField(f)
	}
	_ = c.writer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.header, EndStream: last, EndHeaders: true})
}

// dataHeader appends the head of a DATA frame (RFC 9113, sections 4.1 and 6.1).
func dataHeader(b []byte, id uint32, size int) []byte {
	b = append(b, byte(size>>16), byte(size>>8), byte(size), byte(http2.FrameData), 0)
	return binary.BigEndian.AppendUint32(b, id)
}

// percentEncoded is how gRPC spells a message in a header. It is cut off where it would be unreasonably long.
func percentEncoded(s string) string {
	const most = 1024
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			const digits = "0123456789ABCDEF"
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}
