package grpcloop_test

import (
	"testing"

	"golang.org/x/net/http2"

	"weft/internal/grpcloop"
)

// TestStreamStates has frames come in the states of RFC 9113, section 5.1, in which they may not, or must be ignored.
func TestStreamStates(t *testing.T) {
	protocolError := []string{"GOAWAY 0 PROTOCOL_ERROR", "end"}
	for _, test := range []struct {
		name string
		send func(*client)
		want []string
	}{
		{"data on an idle stream", func(c *client) { c.data(1, true, nil) }, protocolError},
		{"data on a stream of ours", func(c *client) {
			c.headers(3, true, request("/t/echo")...)
			c.data(2, true, nil)
		}, []string{"HEADERS 3 :status=200 grpc-status=0 end", "GOAWAY 3 PROTOCOL_ERROR", "end"}},
		{"data on the connection", func(c *client) { c.data(0, true, nil) }, protocolError},
		{"headers on the connection", func(c *client) { c.open(0, "/t/echo") }, protocolError},
		{"reset of an idle stream", func(c *client) { c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel)) }, protocolError},
		{"reset of the connection", func(c *client) { c.ok(c.WriteRSTStream(0, http2.ErrCodeCancel)) }, protocolError},
		{"credit for an idle stream", func(c *client) { c.ok(c.WriteWindowUpdate(1, 1)) }, protocolError},
		{"no credit for an idle stream", func(c *client) { c.ok(c.WriteWindowUpdate(1, 0)) }, protocolError},
		{"stream with an even number", func(c *client) { c.open(2, "/t/echo") }, protocolError},
		{"malformed stream with an even number", func(c *client) { c.headers(2, true, "X", "y") }, protocolError},
		{"number that was used", func(c *client) {
			c.headers(1, true, request("/t/echo")...)
			c.open(1, "/t/echo")
		}, []string{"HEADERS 1 :status=200 grpc-status=0 end", "GOAWAY 1 PROTOCOL_ERROR", "end"}},
		{"number that was left out", func(c *client) {
			c.open(5, "/t/echo")
			c.open(3, "/t/echo")
		}, []string{"GOAWAY 5 PROTOCOL_ERROR", "end"}},
		{"data after the end", func(c *client) {
			c.open(1, "/t/wait")
			c.data(1, true, nil)
			c.data(1, false, framed("late"))
		}, []string{"RST_STREAM 1 STREAM_CLOSED"}},
		{"data after trailers", func(c *client) {
			c.open(1, "/t/wait")
			c.headers(1, true, "x", "y")
			c.data(1, false, framed("late"))
		}, []string{"RST_STREAM 1 STREAM_CLOSED"}},
		{"trailers after the end", func(c *client) {
			c.open(1, "/t/wait")
			c.data(1, true, nil)
			c.headers(1, true, "x", "y")
		}, []string{"RST_STREAM 1 STREAM_CLOSED"}},
		{"trailers", func(c *client) {
			c.open(1, "/t/echo")
			c.say(1, "a")
			c.headers(1, true, "x", "y")
		}, []string{"HEADERS 1 " + head, `DATA 1 "\x00\x00\x00\x00\x01a"`, finished}},
		{"trailers that do not end the stream", func(c *client) {
			c.open(1, "/t/echo")
			c.headers(1, false, "x", "y")
		}, []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"headers twice", func(c *client) {
			c.open(1, "/t/echo")
			c.headers(1, true, request("/t/echo")...)
		}, []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"malformed trailers", func(c *client) {
			c.open(1, "/t/echo")
			c.headers(1, true, "X", "y")
		}, []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"all on a stream that is over here", func(c *client) {
			c.open(1, "/t/none")
			c.say(1, "a")
			c.ok(c.WriteWindowUpdate(1, 1))
			c.headers(1, true, "x", "y")
			c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel))
		}, []string{"HEADERS 1 :status=200 grpc-status=12 grpc-message=unknown method /t/none end"}},
		{"all on a stream that was reset here", func(c *client) {
			c.headers(1, false, append(request("/t/echo"), "connection", "close")...)
			c.say(1, "a")
			c.ok(c.WriteWindowUpdate(1, 1))
			c.headers(1, true, "x", "y")
			c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel))
		}, []string{"RST_STREAM 1 PROTOCOL_ERROR"}},
		{"all on a stream that the framer took for malformed", func(c *client) {
			c.headers(1, false, append(request("/t/echo"), "X", "y")...)
			c.say(1, "a")
			c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel))
			c.headers(3, true, request("/t/echo")...)
		}, []string{"RST_STREAM 1 PROTOCOL_ERROR", "HEADERS 3 :status=200 grpc-status=0 end"}},
		{"reset in the middle of a message", func(c *client) {
			c.open(1, "/t/echo")
			c.data(1, false, framed("hello")[:7])
			c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel))
			c.data(1, true, framed("hello")[7:])
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newWorld(t, &grpcloop.Server{}).greeted(t)
			test.send(c)
			c.want(test.want...)
		})
	}
}

// TestRequests has streams begin, as gRPC has them begin or not.
func TestRequests(t *testing.T) {
	with := func(name, value string) []string {
		pairs := request("/t/echo")
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				pairs[i+1] = value
				return pairs
			}
		}
		return append(pairs, name, value)
	}
	without := func(name string) []string {
		pairs := request("/t/echo")
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return append(pairs[:i:i], pairs[i+2:]...)
			}
		}
		return pairs
	}
	fine, malformed := "HEADERS 1 :status=200 grpc-status=0 end", "RST_STREAM 1 PROTOCOL_ERROR"
	for _, test := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"as it should be", request("/t/echo"), fine},
		{"unknown method", request("/t/none"), "HEADERS 1 :status=200 grpc-status=12 grpc-message=unknown method /t/none end"},
		{"no POST", with(":method", "GET"), "HEADERS 1 :status=405 end"},
		{"no gRPC", with("content-type", "application/json"), "HEADERS 1 :status=415 end"},
		{"gRPC-Web", with("content-type", "application/grpc-web+proto"), "HEADERS 1 :status=415 end"},
		{"no content-type", without("content-type"), "HEADERS 1 :status=415 end"},
		{"gRPC with protobuf", with("content-type", "application/grpc+proto"), fine},
		{"gRPC with a parameter", with("content-type", "application/grpc;charset=utf-8"), fine},
		{"no te", without("te"), fine},
		{"te that is none of HTTP/2", with("te", "gzip"), malformed},
		{"no method", without(":method"), malformed},
		{"no scheme", without(":scheme"), malformed},
		{"no path", without(":path"), malformed},
		{"empty path", with(":path", ""), malformed},
		{"status of a response", append([]string{":status", "200"}, request("/t/echo")...), malformed},
		{"unknown pseudo header", append([]string{":x", "y"}, request("/t/echo")...), malformed},
		{"pseudo header twice", append([]string{":path", "/t/echo"}, request("/t/echo")...), malformed},
		{"pseudo header at the end", append(request("/t/echo"), ":authority", "x"), malformed},
		{"name in capitals", with("X", "y"), malformed},
		{"value with a line break", with("x", "a\r\nb"), malformed},
		{"connection", with("connection", "keep-alive"), malformed},
		{"transfer-encoding", with("transfer-encoding", "chunked"), malformed},
		{"upgrade", with("upgrade", "h2c"), malformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newWorld(t, &grpcloop.Server{}).greeted(t)
			c.headers(1, true, test.fields...)
			c.want(test.want)
		})
	}
}
