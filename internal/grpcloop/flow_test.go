package grpcloop_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"weft/internal/grpcloop"
)

func window(size uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: size}
}

// TestWindows has answers wait for the credit of the other end.
func TestWindows(t *testing.T) {
	const answer = "\x00\x00\x00\x00\x03abc"
	whole := fmt.Sprintf("DATA 1 %q", answer)
	for _, test := range []struct {
		name    string
		initial uint32
		steps   []func(*client)
		want    [][]string // after each step; the first is what comes before any
	}{
		{"as much as it takes", 8, nil, [][]string{{"HEADERS 1 " + head, whole, finished}}},
		{
			"none, then all", 0,
			[]func(*client){func(c *client) { c.ok(c.WriteWindowUpdate(1, 8)) }},
			[][]string{{"HEADERS 1 " + head}, {whole, finished}},
		},
		{
			"in pieces", 2,
			[]func(*client){
				func(c *client) { c.ok(c.WriteWindowUpdate(1, 3)) },
				func(c *client) { c.ok(c.WriteWindowUpdate(0, 3)) }, // the connection has enough
				func(c *client) { c.ok(c.WriteWindowUpdate(1, 300)) },
			},
			[][]string{{"HEADERS 1 " + head, `DATA 1 "\x00\x00"`}, {`DATA 1 "\x00\x00\x03"`}, nil, {`DATA 1 "abc"`, finished}},
		},
		{
			"by settings", 2,
			[]func(*client){
				func(c *client) { c.ok(c.WriteSettings(window(3))) },
				func(c *client) { c.ok(c.WriteSettings(window(0))) }, // now it is 3 below zero
				func(c *client) { c.ok(c.WriteWindowUpdate(1, 3)) },
				func(c *client) { c.ok(c.WriteWindowUpdate(1, 1)) },
				func(c *client) { c.ok(c.WriteSettings(window(100), window(1))) }, // the last one counts
				func(c *client) { c.ok(c.WriteSettings(window(100))) },
			},
			[][]string{
				{"HEADERS 1 " + head, `DATA 1 "\x00\x00"`},
				{"SETTINGS ack", `DATA 1 "\x00"`},
				{"SETTINGS ack"},
				nil,
				{`DATA 1 "\x00"`},
				{"SETTINGS ack", `DATA 1 "\x03"`},
				{"SETTINGS ack", `DATA 1 "abc"`, finished},
			},
		},
		{
			"reset meanwhile", 2,
			[]func(*client){
				func(c *client) { c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel)) },
				func(c *client) { c.ok(c.WriteWindowUpdate(1, 300)) },
				func(c *client) { c.ok(c.WriteSettings(window(100))) },
			},
			[][]string{{"HEADERS 1 " + head, `DATA 1 "\x00\x00"`}, nil, nil, {"SETTINGS ack"}},
		},
		{
			"too much of it", 2,
			[]func(*client){func(c *client) { c.ok(c.WriteWindowUpdate(1, 1<<31-1)) }},
			[][]string{{"HEADERS 1 " + head, `DATA 1 "\x00\x00"`}, {`DATA 1 "\x00\x00\x03abc"`, finished}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newWorld(t, &grpcloop.Server{}).greeted(t, window(test.initial))
			c.open(1, "/t/echo")
			c.data(1, true, framed("abc"))
			c.want(test.want[0]...)
			for i, step := range test.steps {
				step(c)
				c.want(test.want[i+1]...)
			}
		})
	}
}

// TestWindowOverflows has more credit given than there may be.
func TestWindowOverflows(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(*client)
		want []string
	}{
		{"of the connection", func(c *client) { c.ok(c.WriteWindowUpdate(0, 1<<31-1)) }, []string{"GOAWAY 1 FLOW_CONTROL_ERROR", "end"}},
		{"of a stream", func(c *client) { c.ok(c.WriteWindowUpdate(1, 1<<31-1)) }, []string{"RST_STREAM 1 FLOW_CONTROL_ERROR"}},
		{"of a stream, by settings", func(c *client) {
			c.ok(c.WriteWindowUpdate(1, 1<<30))
			c.ok(c.WriteSettings(window(1<<31 - 1)))
		}, []string{"SETTINGS ack", "GOAWAY 1 FLOW_CONTROL_ERROR", "end"}},
		{"none for the connection", func(c *client) { c.ok(c.WriteWindowUpdate(0, 0)) }, []string{"GOAWAY 1 PROTOCOL_ERROR", "end"}},
		{"none for a stream", func(c *client) { c.ok(c.WriteWindowUpdate(1, 0)) }, []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newWorld(t, &grpcloop.Server{}).greeted(t)
			c.open(1, "/t/wait")
			test.send(c)
			c.want(test.want...)
		})
	}
}

// TestConnectionWindow: streams share the credit of the connection, and those that are blocked by it go on in their order.
func TestConnectionWindow(t *testing.T) {
	c := newWorld(t, &grpcloop.Server{}).greeted(t, window(1<<20))
	c.open(1, "/t/echo")
	c.open(3, "/t/echo")
	for _, id := range []uint32{1, 3} {
		c.data(id, false, framed(strings.Repeat("x", 16<<10-5)))
		c.data(id, false, framed(strings.Repeat("x", 16<<10-5)))
		c.data(id, true, framed(strings.Repeat("x", 16<<10-5)))
	}
	frame := func(id, size int) string { return fmt.Sprintf("DATA %d %d bytes", id, size) }
	c.want("HEADERS 1 "+head, frame(1, 16384), frame(1, 16384), frame(1, 16384), finished, "HEADERS 3 "+head, frame(3, 16383))
	c.ok(c.WriteWindowUpdate(3, 1000)) // it is not that
	c.want()
	c.ok(c.WriteWindowUpdate(0, 16384+100))
	c.want(frame(3, 16384), frame(3, 100))
	c.ok(c.WriteWindowUpdate(0, 1<<20))
	c.want(frame(3, 16285), "HEADERS 3 grpc-status=0 end")
}

// TestTheirWindow: a stream that says more than it may is reset, and a handler that is behind gives no credit.
func TestTheirWindow(t *testing.T) {
	const streamWindow = 256 << 10
	w := newWorld(t, &grpcloop.Server{})
	wake := make(chan func(), 1)
	w.handle("/t/late", func(s *grpcloop.Stream) error {
		s.Await(0, func(f func()) { wake <- f })
		return echo(s)
	})
	send := func(c *client, size int) {
		for size > 0 {
			n := min(size, 16<<10)
			c.data(1, false, framed(strings.Repeat("x", n-5)))
			size -= n
		}
	}
	t.Run("kept", func(t *testing.T) {
		c := w.greeted(t, window(1<<20))
		c.ok(c.WriteWindowUpdate(0, 1<<20))
		c.open(1, "/t/late")
		send(c, streamWindow)
		c.want() // no WINDOW_UPDATE
		(<-wake)()
		c.wantSometime("WINDOW_UPDATE 1")
		c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel))
		c.answers()
	})
	t.Run("broken", func(t *testing.T) {
		c := w.greeted(t)
		c.open(1, "/t/late")
		<-wake
		send(c, streamWindow+16<<10)
		c.want("RST_STREAM 1 FLOW_CONTROL_ERROR")
	})
	t.Run("of messages that have no bytes", func(t *testing.T) {
		c := w.greeted(t)
		c.open(1, "/t/late")
		<-wake
		nothing := strings.Repeat("\x00\x00\x00\x00\x00", 3000)
		for range streamWindow / len(nothing) {
			c.data(1, false, []byte(nothing))
		}
		c.want() // no WINDOW_UPDATE: they have to be kept, too
		c.data(1, false, []byte(nothing))
		c.want("RST_STREAM 1 FLOW_CONTROL_ERROR")
	})
	t.Run("of one who does not take the answers", func(t *testing.T) {
		c := w.greeted(t, window(0))
		c.open(1, "/t/echo")
		send(c, streamWindow)
		c.want("HEADERS 1 "+head, "WINDOW_UPDATE 1") // for the first half
		send(c, streamWindow/2)
		c.want()
		c.ok(c.WriteSettings(window(65535))) // there is no more for the connection
		answers := strings.Join(c.answers(), "\n")
		if strings.Contains(answers, "WINDOW_UPDATE") {
			t.Errorf("got credit for what is not taken: %s", answers)
		}
		c.ok(c.WriteWindowUpdate(0, 1<<20))
		c.ok(c.WriteWindowUpdate(1, 1<<20))
		answers = strings.Join(c.answers(), "\n")
		if !strings.Contains(answers, "WINDOW_UPDATE 1") {
			t.Errorf("got no credit although all is taken: %s", answers)
		}
	})
}

// TestSettings has the other end say how it wants what it gets.
func TestSettings(t *testing.T) {
	long := strings.Repeat("x", 40000)
	for _, test := range []struct {
		name    string
		setting http2.Setting
		want    []string
	}{
		{"none", http2.Setting{ID: 999}, []string{"DATA 1 16384 bytes", "DATA 1 16384 bytes", "DATA 1 7237 bytes"}},
		{"larger frames", http2.Setting{ID: http2.SettingMaxFrameSize, Val: 30000}, []string{"DATA 1 30000 bytes", "DATA 1 10005 bytes"}},
		{"the largest frames", http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1<<24 - 1}, []string{"DATA 1 40005 bytes"}},
		{"no table of headers", http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0}, []string{"DATA 1 16384 bytes", "DATA 1 16384 bytes", "DATA 1 7237 bytes"}},
		{"a table that is too large for this end", http2.Setting{ID: http2.SettingHeaderTableSize, Val: 1 << 30}, []string{"DATA 1 16384 bytes", "DATA 1 16384 bytes", "DATA 1 7237 bytes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newWorld(t, &grpcloop.Server{MaxMessage: 1 << 20}).greeted(t)
			c.ok(c.WriteSettings(test.setting))
			if test.setting.ID == http2.SettingHeaderTableSize {
				c.ReadMetaHeaders.SetMaxDynamicTableSize(min(test.setting.Val, 4096))
				c.ReadMetaHeaders.SetAllowedMaxDynamicTableSize(min(test.setting.Val, 4096))
			}
			c.want("SETTINGS ack")
			c.open(1, "/t/echo")
			c.data(1, false, framed(long)[:16000])
			c.data(1, false, framed(long)[16000:32000])
			c.data(1, true, framed(long)[32000:])
			c.want(append(append([]string{"HEADERS 1 " + head}, test.want...), finished)...)
			c.headers(3, true, request("/t/none")...)
			c.want("HEADERS 3 :status=200 grpc-status=12 grpc-message=unknown method /t/none end")
		})
	}
}
