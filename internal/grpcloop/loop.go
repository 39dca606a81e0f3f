package grpcloop

import (
	"bufio"
	"errors"
	"io"
	"net"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

var errPreface = errors.New("no HTTP/2: the connection preface is missing (RFC 9113, section 3.4)")

// flushingReader writes what is to be written before it waits for more to read.
type flushingReader conn

func (r *flushingReader) Read(p []byte) (int, error) {
	(*conn)(r).flush()
	return r.nc.Read(p)
}

// serve is the loop. It returns when the connection has ended, and all that is not detached with it. Nothing of it is deferred: a
// handler's panic is to end the process, rather than to wait for other handlers and the other end first.
func (c *conn) serve() {
	_ = c.speak()
	c.end()
}

// speak returns nil when all has been said, or what keeps the connection from going on.
func (c *conn) speak() error {
	_ = c.nc.SetDeadline(time.Now().Add(c.server.handshakeTimeout()))
	secure, err := c.server.handshake(c.nc)
	if err != nil {
		return err
	}
	if !c.secured(secure) {
		return net.ErrClosed
	}
	reader := bufio.NewReaderSize((*flushingReader)(c), readBuffer)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(reader, preface); err != nil {
		return err
	}
	if string(preface) != http2.ClientPreface {
		return errPreface
	}
	c.framer = http2.NewFramer(nil, reader)
	c.framer.SetReuseFrames()
	c.framer.SetMaxReadFrameSize(maxFrame)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.framer.MaxHeaderListSize = maxHeaderBytes
	c.greet()
	if err := c.next(c.takeFirst); err != nil {
		return err
	}
	_ = c.nc.SetDeadline(time.Time{})
	c.watch()
	for take := c.take; c.goesOn(); {
		if err := c.next(take); err != nil {
			return err
		}
	}
	return nil
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

// next has the next frame taken. The error is that the connection does not go on.
func (c *conn) next(take func(http2.Frame) error) error {
	head, err := c.framer.ReadFrameHeader()
	if err == nil {
		var frame http2.Frame
		if frame, err = c.framer.ReadFrameForHeader(head); err == nil {
			err = take(frame)
		} else {
			err = c.misread(head, err)
		}
		c.frames.Add(1)
	}
	if err == nil {
		return nil
	}
	return c.survive(err)
}

// misread returns what is wrong with a frame that the framer has refused.
func (c *conn) misread(head http2.FrameHeader, err error) error {
	var ofStream http2.StreamError // on the heap, as errors.As wants it: not for frames that are right
	switch isHeaders := head.Type == http2.FrameHeaders; {
	case errors.Is(err, io.ErrUnexpectedEOF): // it has not even room for what its flags say
		return http2.ConnectionError(http2.ErrCodeFrameSize)
	case !errors.As(err, &ofStream):
		return err
	case isHeaders && (ofStream.Cause == nil || head.StreamID%2 == 0), // too much padding: HPACK has not seen the block
		!isHeaders && c.isIdle(head.StreamID):
		return http2.ConnectionError(http2.ErrCodeProtocol)
	case isHeaders:
		c.opened(head.StreamID)
	}
	return err
}

// survive says what was wrong with a stream or the connection. It returns nil if the connection goes on.
func (c *conn) survive(err error) error {
	var ofStream http2.StreamError
	var ofConn http2.ConnectionError
	switch {
	case errors.As(err, &ofStream):
		c.reset(ofStream.StreamID, ofStream.Code)
		return nil
	case errors.As(err, &ofConn):
		c.goAway(http2.ErrCode(ofConn))
	case errors.Is(err, http2.ErrFrameTooLarge):
		c.goAway(http2.ErrCodeFrameSize)
	}
	return err
}

// takeFirst takes the first frame, which must be of settings (RFC 9113, section 3.4).
func (c *conn) takeFirst(frame http2.Frame) error {
	if settings, ok := frame.(*http2.SettingsFrame); ok && !settings.IsAck() {
		return c.takeSettings(settings)
	}
	return http2.ConnectionError(http2.ErrCodeProtocol)
}

// take takes a frame.
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

// goesOn reports whether there is more to do on a connection. Much that is to be sent is sent before more is taken, so that an
// other end that does not read is not read from, either.
func (c *conn) goesOn() bool {
	c.mu.Lock()
	for len(c.out) > keptBuffer && c.writing && !c.closed {
		c.changed.Wait()
	}
	much, over := len(c.out) > keptBuffer, c.isOver()
	c.mu.Unlock()
	if much {
		c.flush()
	}
	return !over
}

// isOver reports whether there is nothing more to do: a connection that was told to go away is over with its streams. The lock is
// held.
func (c *conn) isOver() bool { return c.closed || c.refusing && c.active == 0 }
