package grpcloop_test

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"weft/internal/grpcloop"
)

const (
	head     = ":status=200"
	finished = "HEADERS 1 grpc-status=0 end"
)

// frameTests are what an other end may send after both have said hello, and all that this end says to it.
var frameTests = []struct {
	name string
	send func(*client)
	want []string
}{
	{"ping", func(c *client) { c.ok(c.WritePing(false, [8]byte{'h', 'i'})) }, []string{`PING ack "hi\x00\x00\x00\x00\x00\x00"`}},
	{"ping ack that nobody asked for", func(c *client) { c.ok(c.WritePing(true, [8]byte{'d', 'r', 'a', 'i', 'n'})) }, nil},
	{"ping on a stream", func(c *client) { c.ok(c.WriteRawFrame(http2.FramePing, 0, 1, make([]byte, 8))) }, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
	{"ping that is too short", func(c *client) { c.ok(c.WriteRawFrame(http2.FramePing, 0, 0, make([]byte, 7))) }, []string{"GOAWAY 0 FRAME_SIZE_ERROR", "end"}},
	{"frame of an unknown type", func(c *client) { c.ok(c.WriteRawFrame(0xfa, 0xff, 7, []byte("whatever"))) }, nil},
	{"frame of the largest size", func(c *client) { c.ok(c.WriteRawFrame(0xfa, 0, 0, make([]byte, 16<<10))) }, nil},
	{"frame that is too large", func(c *client) { c.ok(c.WriteRawFrame(0xfa, 0, 0, make([]byte, 16<<10+1))) }, []string{"GOAWAY 0 FRAME_SIZE_ERROR", "end"}},
	{"priority", func(c *client) { c.ok(c.WritePriority(5, http2.PriorityParam{StreamDep: 3, Weight: 9})) }, nil},
	{"push promise", func(c *client) {
		c.ok(c.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, EndHeaders: true}))
	}, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
	{"going away", func(c *client) { c.ok(c.WriteGoAway(0, http2.ErrCodeNo, nil)) }, nil},
	{"unary", func(c *client) {
		c.open(1, "/t/echo")
		c.data(1, true, framed("hello"))
	}, []string{"HEADERS 1 " + head, `DATA 1 "\x00\x00\x00\x00\x05hello"`, finished}},
	{"two streams at once", func(c *client) {
		c.open(1, "/t/echo")
		c.open(3, "/t/echo")
		c.say(3, "b")
		c.say(1, "a")
		c.data(1, true, nil)
	}, []string{"HEADERS 3 " + head, `DATA 3 "\x00\x00\x00\x00\x01b"`, "HEADERS 1 " + head, `DATA 1 "\x00\x00\x00\x00\x01a"`, finished}},
	{"continuation", func(c *client) {
		b := c.encode(request("/t/echo")...)
		c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:3], EndStream: true}))
		c.ok(c.WriteContinuation(1, false, nil))
		c.ok(c.WriteContinuation(1, true, b[3:]))
	}, []string{"HEADERS 1 :status=200 grpc-status=0 end"}},
	{"continuation of nothing", func(c *client) { c.ok(c.WriteContinuation(1, true, nil)) }, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
	{"continuation of another stream", func(c *client) {
		c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1}))
		c.ok(c.WriteContinuation(3, true, c.encode(request("/t/echo")...)))
	}, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
	{"something between continuations", func(c *client) {
		c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(request("/t/echo")...)}))
		c.ok(c.WritePing(false, [8]byte{}))
	}, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
	{"priority in headers, and padding", func(c *client) {
		c.ok(c.WriteHeaders(http2.HeadersFrameParam{
			StreamID: 1, BlockFragment: c.encode(request("/t/echo")...), EndHeaders: true, EndStream: true, PadLength: 200,
			Priority: http2.PriorityParam{StreamDep: 1, Weight: 1},
		}))
	}, []string{"HEADERS 1 :status=200 grpc-status=0 end"}},
	{"padded data", func(c *client) {
		c.open(1, "/t/echo")
		c.ok(c.WriteDataPadded(1, false, framed("a"), make([]byte, 255)))
		c.ok(c.WriteDataPadded(1, true, nil, make([]byte, 255)))
	}, []string{"HEADERS 1 " + head, `DATA 1 "\x00\x00\x00\x00\x01a"`, finished}},
	{"more padding than data", func(c *client) {
		c.open(1, "/t/echo")
		c.ok(c.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte{9, 0, 0}))
	}, []string{"GOAWAY 1 PROTOCOL_ERROR", "end"}},
	{"padding that says its length, but has no room for that", func(c *client) {
		c.ok(c.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, nil))
	}, []string{"GOAWAY 0 FRAME_SIZE_ERROR", "end"}},
	{"more padding than headers", func(c *client) {
		c.ok(c.WriteRawFrame(http2.FrameHeaders, http2.FlagHeadersPadded|http2.FlagHeadersEndHeaders, 1, []byte{9, 0, 0}))
	}, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
	{"settings acknowledged twice", func(c *client) { c.ok(c.WriteSettingsAck()) }, nil},
	{"settings on a stream", func(c *client) { c.ok(c.WriteRawFrame(http2.FrameSettings, 0, 1, nil)) }, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
	{"settings cut off", func(c *client) { c.ok(c.WriteRawFrame(http2.FrameSettings, 0, 0, []byte{1})) }, []string{"GOAWAY 0 FRAME_SIZE_ERROR", "end"}},
	{"unknown setting", func(c *client) { c.ok(c.WriteSettings(http2.Setting{ID: 999, Val: 1})) }, []string{"SETTINGS ack"}},
	{"push enabled twice", func(c *client) { c.ok(c.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 2})) }, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
	{"frames that may be small", func(c *client) { c.ok(c.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1})) }, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
	{"window that is too large", func(c *client) {
		c.ok(c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31}))
	}, []string{"GOAWAY 0 FLOW_CONTROL_ERROR", "end"}},
	{"headers that are garbage", func(c *client) {
		c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, EndHeaders: true}))
	}, []string{"GOAWAY 0 COMPRESSION_ERROR", "end"}},
	{"header list that is too large", func(c *client) {
		fields := request("/t/echo")
		for range 5 {
			fields = append(fields, "x", strings.Repeat("0", 15<<10))
		}
		c.headersInParts(1, fields...)
		c.headers(3, true, request("/t/echo")...)
	}, []string{"RST_STREAM 1 ENHANCE_YOUR_CALM", "HEADERS 3 :status=200 grpc-status=0 end"}},
	{"header list without end", func(c *client) {
		c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(request("/t/echo")...)}))
		for range 30 {
			c.ok(c.WriteContinuation(1, false, c.encode("x", strings.Repeat("~", 6<<10))))
		}
	}, []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}},
}

// headersInParts sends HEADERS, and as many CONTINUATIONs as it takes.
func (c *client) headersInParts(id uint32, pairs ...string) {
	c.t.Helper()
	c.ok(c.WriteHeaders(http2.HeadersFrameParam{StreamID: id}))
	for b := c.encode(pairs...); len(b) > 0; {
		n := min(len(b), 16<<10)
		c.ok(c.WriteContinuation(id, n == len(b), b[:n]))
		b = b[n:]
	}
}

func TestFrames(t *testing.T) {
	for _, test := range frameTests {
		t.Run(test.name, func(t *testing.T) {
			c := newWorld(t, &grpcloop.Server{}).greeted(t)
			test.send(c)
			c.want(test.want...)
		})
	}
}

func TestPreface(t *testing.T) {
	for _, test := range []struct {
		name string
		send func(*client)
		want []string
	}{
		{"no HTTP/2", func(c *client) { c.raw([]byte("GET / HTTP/1.1\r\nhost: weft\r\n\r\n")) }, []string{"end"}},
		{"cut off", func(c *client) {
			c.raw([]byte(http2.ClientPreface)[:10])
			_ = c.nc.Close()
		}, []string{"end"}},
		{"no settings", func(c *client) {
			c.raw([]byte(http2.ClientPreface))
			c.ok(c.WritePing(false, [8]byte{}))
		}, []string{"SETTINGS MAX_CONCURRENT_STREAMS INITIAL_WINDOW_SIZE MAX_HEADER_LIST_SIZE", "WINDOW_UPDATE 0", "GOAWAY 0 PROTOCOL_ERROR", "end"}},
		{"settings acknowledged before they are made", func(c *client) {
			c.raw([]byte(http2.ClientPreface))
			c.ok(c.WriteSettingsAck())
		}, []string{"SETTINGS MAX_CONCURRENT_STREAMS INITIAL_WINDOW_SIZE MAX_HEADER_LIST_SIZE", "WINDOW_UPDATE 0", "GOAWAY 0 PROTOCOL_ERROR", "end"}},
		{"byte by byte", func(c *client) {
			var b bytes.Buffer
			whole := http2.NewFramer(&b, nil)
			b.WriteString(http2.ClientPreface)
			c.ok(whole.WriteSettings())
			c.ok(whole.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: c.encode(request("/t/echo")...), EndHeaders: true}))
			c.ok(whole.WriteData(1, true, framed("a")))
			for i := range b.Bytes() {
				c.raw(b.Bytes()[i : i+1])
			}
		}, []string{
			"SETTINGS MAX_CONCURRENT_STREAMS INITIAL_WINDOW_SIZE MAX_HEADER_LIST_SIZE", "WINDOW_UPDATE 0", "SETTINGS ack",
			"HEADERS 1 " + head, `DATA 1 "\x00\x00\x00\x00\x01a"`, finished,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newWorld(t, &grpcloop.Server{}).dial(t)
			test.send(c)
			c.want(test.want...)
		})
	}
}
