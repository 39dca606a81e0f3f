package grpcloop_test

import (
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/internal/grpcloop"
)

// FuzzBytes has anything come after the preface.
func FuzzBytes(f *testing.F) {
	for _, test := range frameTests {
		f.Add(recorded(f, func(c *client) { c.ok(c.WriteSettings()); test.send(c) }))
	}
	f.Fuzz(func(t *testing.T, b []byte) { survives(t, b) })
}

// FuzzFrames has a sequence of frames come, most of which are right: a program of one byte each for what to do, for the stream,
// and for a parameter.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 20, 2, 0, 0})
	f.Add([]byte{0, 0, 1, 0, 1, 2, 1, 0, 200, 1, 1, 90, 3, 0, 0, 4, 1, 3})
	f.Add([]byte{5, 0, 0, 0, 0, 0, 1, 0, 90, 6, 0, 3, 6, 9, 9, 5, 0, 200, 2, 0, 0})
	f.Add([]byte{7, 0, 0, 8, 0, 0, 9, 0, 1, 10, 0, 0, 11, 0, 5, 12, 0, 0, 13, 0, 40})
	f.Add([]byte{0, 0, 3, 1, 0, 9, 1, 0, 9, 3, 0, 0, 0, 1, 4, 1, 1, 7, 0, 2, 5, 1, 2, 7, 2, 2, 0})
	f.Fuzz(func(t *testing.T, program []byte) {
		survives(t, recorded(t, func(c *client) {
			c.ok(c.WriteSettings())
			for step := range slices.Chunk(program, 3) {
				if len(step) == 3 {
					c.do(step[0], uint32(step[1]), int(step[2]))
				}
			}
		}))
	})
}

var paths = []string{"/t/echo", "/t/wait", "/t/deaf", "/t/work", "/t/tired", "/t/none"}

// do sends a frame.
func (c *client) do(what byte, stream uint32, parameter int) {
	id := 2*stream + 1
	message := framed(string(make([]byte, parameter*parameter))) // up to 64 KiB
	switch what % 16 {
	case 0:
		c.headers(id, parameter > 200, request(paths[parameter%len(paths)])...)
	case 1:
		for part := range slices.Chunk(message, 16<<10) {
			c.data(id, false, part)
		}
	case 2:
		c.data(id, true, nil)
	case 3:
		c.ok(c.WriteRSTStream(id, http2.ErrCodeCancel))
	case 4:
		c.data(id, parameter%2 == 0, message[:min(parameter, len(message))])
	case 5:
		c.ok(c.WriteSettings(window(uint32(parameter * parameter))))
	case 6:
		c.ok(c.WriteWindowUpdate(stream&1*id, uint32(parameter*parameter)))
	case 7:
		c.ok(c.WritePing(parameter%2 == 0, [8]byte{'d', 'r', 'a', 'i', 'n'}))
	case 8:
		c.ok(c.WriteGoAway(id, http2.ErrCodeNo, nil))
	case 9:
		c.headers(id, parameter%2 == 0, "x", "y")
	case 10:
		c.ok(c.WriteDataPadded(id, false, framed("padded"), make([]byte, parameter)))
	case 11:
		c.ok(c.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(parameter)}, http2.Setting{ID: http2.SettingMaxFrameSize, Val: 16<<10 + uint32(parameter)}))
	case 12:
		c.ok(c.WritePriority(id, http2.PriorityParam{StreamDep: stream}))
	case 13:
		c.headersInParts(id, append(request("/t/echo"), "x", string(make([]byte, parameter)))...)
	case 14:
		c.data(id, false, slices.Concat(framed("a"), framed(""), framed("b")))
	case 15:
		c.ok(c.WriteRawFrame(http2.FrameType(parameter), http2.Flags(parameter), id-1, message))
	}
}

// recorded returns what a client sends.
func recorded(t testing.TB, send func(*client)) []byte {
	var r recorder
	c := newClient(t, &r)
	c.patience = time.Nanosecond
	send(c)
	return r.sent
}

type recorder struct {
	net.Conn
	sent []byte
}

func (r *recorder) Write(p []byte) (int, error) { r.sent = append(r.sent, p...); return len(p), nil }

// survives sends bytes to a server, and fails the test unless all ends as it must once the connection has: the loop, and the
// handlers, each of which gets to know of the end.
func survives(t *testing.T, b []byte) {
	defer time.AfterFunc(time.Minute, func() { panic("it hangs") }).Stop()
	goroutines := runtime.NumGoroutine()
	w := newWorld(t, &grpcloop.Server{MaxStreams: 10, MaxMessage: 1 << 17})
	w.handle("/t/work", func(s *grpcloop.Stream) error {
		for {
			s.Detach()
			message, err := s.Receive()
			if err != nil {
				return err
			}
			if !s.Await(time.Minute, func(wake func()) { go wake() }) {
				return s.Context().Err()
			}
			if err := s.Send(message, message); err != nil {
				return err
			}
			grpcloop.Release(message)
		}
	})
	w.handle("/t/tired", func(s *grpcloop.Stream) error { // it leaves before all is said
		message, err := s.Receive()
		if err != nil {
			return err
		}
		return s.Send(nil, message)
	})
	near, far := socketPair(t)
	w.listener.accepted <- far
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = near.Write(append([]byte(http2.ClientPreface), b...))
		_ = near.(*net.UnixConn).CloseWrite() // now the other end has seen all of it
	}()
	size := checkedAnswers(t, near)
	<-sent
	_ = near.Close()
	w.GracefulStop()
	<-w.served
	for runtime.NumGoroutine() > goroutines { // or it hangs
		runtime.Gosched()
	}
	if limit := 1<<20 + 200*len(b); size > limit {
		t.Errorf("%d bytes are answered by %d", len(b), size)
	}
	if most := w.mostOpen(); most > 10 {
		t.Errorf("%d handlers at once", most)
	}
	for _, path := range paths {
		for _, err := range w.ended(path) {
			switch status.Code(err) {
			case codes.OK, codes.Canceled, codes.Internal, codes.ResourceExhausted, codes.Unimplemented:
			default:
				if !errors.Is(err, io.EOF) && !errors.Is(err, context.Canceled) {
					t.Errorf("%s has ended with %v", path, err)
				}
			}
		}
	}
}

// checkedAnswers reads all, which must be HTTP/2 that only speaks of streams that the other end may have begun. It returns the
// number of bytes.
func checkedAnswers(t *testing.T, nc net.Conn) (size int) {
	framer := http2.NewFramer(nil, nc)
	over := map[uint32]bool{}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return size
		}
		head := frame.Header()
		size += 9 + int(head.Length)
		switch f := frame.(type) {
		case *http2.DataFrame, *http2.HeadersFrame:
			if head.StreamID%2 == 0 || over[head.StreamID] {
				t.Errorf("%v of a stream that is over", head)
			}
			over[head.StreamID] = head.Flags.Has(http2.FlagDataEndStream)
		case *http2.RSTStreamFrame:
			over[head.StreamID] = true
		case *http2.WindowUpdateFrame:
			if over[head.StreamID] || f.Increment > 16<<20 {
				t.Errorf("credit of %d for stream %d", f.Increment, head.StreamID)
			}
		}
	}
}
