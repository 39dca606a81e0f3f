package envoy_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestWebSocketOverHTTP2: an extended CONNECT (RFC 8441) becomes an upgrade at the legacy service, with and without a
// rule for its path. WebSockets over HTTP/1.1 are in the corpus of TestTransparency.
func TestWebSocketOverHTTP2(t *testing.T) {
	s := startSystem(t, systemOptions{})
	echo := func(c net.Conn, r *http.Request) bool {
		if r.Method != http.MethodGet || r.Header.Get("Upgrade") != "websocket" {
			return raw("HTTP/1.1 400 No Upgrade\r\ncontent-length: 0\r\n\r\n")(c, r)
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
		_, _ = io.Copy(c, c)
		return false
	}
	for _, path := range []string{"/chat", "/api/v1/users/7"} {
		s.legacy.answer(path, echo)
		if status, echoed := s.connect(t, path, "websocket"); status != "200" || echoed != "hello" {
			t.Errorf("%s: status %q, echo %q; want 200, hello", path, status, echoed)
		}
	}
	if status, _ := s.connect(t, "/chat", ""); status != "404" {
		t.Errorf("a plain CONNECT: status %q, want 404", status)
	}
}

// connect sends a CONNECT over HTTP/2, with a protocol unless that is empty. It returns the status and, if that is 200,
// what the peer has made of "hello".
func (s *system) connect(t *testing.T, path, protocol string) (status, echoed string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	fields := []hpack.HeaderField{{Name: ":method", Value: "CONNECT"}, {Name: ":authority", Value: "legacy.example:443"}}
	if protocol != "" {
		fields = append(fields, hpack.HeaderField{Name: ":protocol", Value: protocol},
			hpack.HeaderField{Name: ":scheme", Value: "http"}, hpack.HeaderField{Name: ":path", Value: path},
			hpack.HeaderField{Name: "sec-websocket-version", Value: "13"})
	}
	for _, f := range fields {
		if err := encoder.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.WriteString(conn, h2.ClientPreface)
	framer := h2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = framer.WriteSettings()
	_ = framer.WriteHeaders(h2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := frame.(type) {
		case *h2.MetaHeadersFrame:
			if status = f.PseudoValue("status"); status != "200" {
				return status, ""
			}
			_ = framer.WriteData(1, false, []byte("hello"))
		case *h2.DataFrame:
			return status, string(f.Data())
		case *h2.RSTStreamFrame:
			t.Fatalf("reset: %v", f.ErrCode)
		}
	}
}
