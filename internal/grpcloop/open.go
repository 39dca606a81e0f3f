package grpcloop

import (
	"io"
	"strings"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

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
	case s != nil && (!isTrailer || !f.StreamEnded()):
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

// isIdle reports whether the other end has never begun a stream.
func (c *conn) isIdle(id uint32) bool { return id%2 == 0 || id > c.lastID }

// opened notes that the other end has begun a stream. It reports whether it had not done so before.
func (c *conn) opened(id uint32) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	isNew := id > c.lastID
	c.lastID = max(c.lastID, id)
	return isNew
}
