package grpcloop_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// client speaks HTTP/2 as it is told to, right or wrong. A goroutine of its own reads all that comes.
type client struct {
	t  testing.TB
	nc net.Conn
	*http2.Framer
	block    bytes.Buffer
	encoder  *hpack.Encoder
	pings    byte
	patience time.Duration // how long it waits for what never comes before the test fails

	mu     sync.Mutex
	came   *sync.Cond
	frames []string // what has come, and was not asked for yet
	over   bool
	held   chan struct{} // not nil while no more is to be read
}

// dial connects to a world, over a pipe that has no buffer in between if it is to be that way.
func (w *world) dial(t testing.TB) *client {
	near, far := socketPair(t)
	return w.dialOver(t, near, far)
}

func (w *world) dialOver(t testing.TB, near, far net.Conn) *client {
	w.listener.accepted <- far
	c := newClient(t, near)
	t.Cleanup(c.close)
	go c.read()
	return c
}

func newClient(t testing.TB, nc net.Conn) *client {
	c := &client{t: t, nc: nc, Framer: http2.NewFramer(nc, nc), patience: 20 * time.Second}
	c.AllowIllegalWrites = true
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.encoder = hpack.NewEncoder(&c.block)
	c.came = sync.NewCond(&c.mu)
	return c
}

// greeted connects, and has both ends say hello.
func (w *world) greeted(t testing.TB, settings ...http2.Setting) *client {
	t.Helper()
	c := w.dial(t)
	c.greet(settings...)
	return c
}

func (c *client) greet(settings ...http2.Setting) {
	c.t.Helper()
	c.raw([]byte(http2.ClientPreface))
	c.ok(c.WriteSettings(settings...))
	c.ok(c.WriteSettingsAck())
	c.want("SETTINGS MAX_CONCURRENT_STREAMS INITIAL_WINDOW_SIZE MAX_HEADER_LIST_SIZE", "WINDOW_UPDATE 0", "SETTINGS ack")
}

func (c *client) close() {
	_ = c.nc.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.over {
		c.came.Wait()
	}
}

// raw sends bytes. Whether the other end still takes them is not this end's concern.
func (c *client) raw(b []byte) { _, _ = c.nc.Write(b) }

func (c *client) ok(err error) {
	c.t.Helper()
	for _, gone := range []error{nil, net.ErrClosed, io.ErrClosedPipe, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, gone) {
			return // what the other end said last tells why
		}
	}
	c.t.Fatal(err)
}

func request(path string) []string {
	return []string{":method", "POST", ":scheme", "http", ":path", path, ":authority", "weft", "content-type", "application/grpc", "te", "trailers"}
}

// encode returns a header block.
func (c *client) encode(pairs ...string) []byte {
	c.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		c.ok(c.encoder.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}))
	}
	return bytes.Clone(c.block.Bytes())
}

// headers sends HEADERS, end says whether nothing follows.
func (c *client) headers(id uint32, end bool, pairs ...string) {
	c.t.Helper()
	c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.encode(pairs...), EndHeaders: true, EndStream: end}))
}

func (c *client) open(id uint32, path string) { c.t.Helper(); c.headers(id, false, request(path)...) }

func (c *client) data(id uint32, end bool, p []byte) { c.t.Helper(); c.ok(c.WriteData(id, end, p)) }

func (c *client) say(id uint32, message string) { c.t.Helper(); c.data(id, false, framed(message)) }

// framed is a message as it is in DATA.
func framed(message string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// stopReading has no more be read, but for the frame that is being read.
func (c *client) stopReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = make(chan struct{})
}

func (c *client) goOnReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.held)
	c.held = nil
}

func (c *client) read() {
	for {
		c.mu.Lock()
		held := c.held
		c.mu.Unlock()
		if held != nil {
			<-held
		}
		f, err := c.ReadFrame()
		c.mu.Lock()
		if err != nil {
			c.over = true
			c.frames = append(c.frames, "end")
		} else {
			c.frames = append(c.frames, describe(f))
			if bad, ok := f.(*http2.GoAwayFrame); ok && bad.ErrCode != http2.ErrCodeNo {
				_ = c.nc.Close() // as clients do; the server would wait for that for a moment
			}
		}
		c.came.Broadcast()
		over := c.over
		c.mu.Unlock()
		if over {
			return
		}
	}
}

// describe says what matters of a frame.
func describe(frame http2.Frame) string {
	id := frame.Header().StreamID
	switch f := frame.(type) {
	case *http2.DataFrame:
		if len(f.Data()) > 64 {
			return fmt.Sprintf("DATA %d %d bytes", id, len(f.Data()))
		}
		return fmt.Sprintf("DATA %d %q", id, f.Data())
	case *http2.MetaHeadersFrame:
		var b strings.Builder
		fmt.Fprintf(&b, "HEADERS %d", id)
		for _, h := range f.Fields {
			if h.Name != "content-type" {
				fmt.Fprintf(&b, " %s=%s", h.Name, h.Value)
			}
		}
		if f.StreamEnded() {
			b.WriteString(" end")
		}
		return b.String()
	case *http2.RSTStreamFrame:
		return fmt.Sprintf("RST_STREAM %d %s", id, f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Sprintf("GOAWAY %d %s", f.LastStreamID, f.ErrCode)
	case *http2.PingFrame:
		if f.IsAck() {
			return fmt.Sprintf("PING ack %q", f.Data[:])
		}
		return fmt.Sprintf("PING %q", bytes.TrimRight(f.Data[:], "\x00"))
	case *http2.SettingsFrame:
		if f.IsAck() {
			return "SETTINGS ack"
		}
		s := "SETTINGS"
		_ = f.ForeachSetting(func(setting http2.Setting) error {
			s += " " + setting.ID.String()
			return nil
		})
		return s
	case *http2.WindowUpdateFrame:
		return fmt.Sprintf("WINDOW_UPDATE %d", id)
	}
	return fmt.Sprint(frame)
}

// next returns the next frame, or "end".
func (c *client) next() string {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	late := time.AfterFunc(c.patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.frames = append(c.frames, os.ErrDeadlineExceeded.Error())
		c.came.Broadcast()
	})
	defer late.Stop()
	for len(c.frames) == 0 {
		c.came.Wait()
	}
	f := c.frames[0]
	if f != "end" {
		c.frames = c.frames[1:]
	}
	if f == os.ErrDeadlineExceeded.Error() {
		c.t.Errorf("nothing has come for %v", c.patience)
		c.frames = []string{"end"}
		return "end"
	}
	return f
}

// answers returns what the other end says to all that was sent so far, up to its end if it ends.
func (c *client) answers() []string {
	c.t.Helper()
	c.pings++
	c.ok(c.WritePing(false, [8]byte{'t', c.pings}))
	ack := fmt.Sprintf("PING ack %q", [8]byte{'t', c.pings})
	got := []string{}
	for {
		switch f := c.next(); f {
		case ack:
			return got
		case "end":
			return append(got, f)
		default:
			got = append(got, f)
		}
	}
}

// want fails the test unless the answers to what was sent so far are these.
func (c *client) want(want ...string) {
	c.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), c.answers()); diff != "" {
		c.t.Errorf("want -, got +\n%s", diff)
	}
}

// wantNext fails the test unless these come next.
func (c *client) wantNext(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if f := c.next(); f != w {
			c.t.Errorf("got %s\nwant %s", f, w)
		}
	}
}

// wantSometime fails the test unless a frame comes, after whatever.
func (c *client) wantSometime(want string) {
	c.t.Helper()
	for f := ""; f != want; {
		if f = c.next(); f == "end" {
			c.t.Errorf("the connection has ended without %s", want)
			return
		}
	}
}
