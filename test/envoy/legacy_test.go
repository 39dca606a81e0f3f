package envoy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// legacyUser7 is a response in chunks, as Spring Boot sends it.
const legacyUser7 = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n" +
	"37\r\n" + coreUser7 + "\r\n0\r\n\r\n"

// The core of user 7, its composite where MongoDB has no document, and the composite without the extension.
const (
	coreUser7      = `{"userId":7,"username":"u","email":"e","createdAt":"c"}`
	compositeUser7 = `{"core":` + coreUser7 +
		`,"extension":{"userId":7,"tags":[],"lastActivityScore":0.0,"customSettings":{}},"errors":[]}`
	degradedUser7 = `{"core":` + coreUser7 + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
)

// withoutCore returns the composite without the core of a user who has no document.
func withoutCore(id int) string {
	const body = `{"core":null,"extension":{"userId":%d,"tags":[],"lastActivityScore":0.0,"customSettings":{}},` +
		`"errors":["Failed to fetch core user profile."]}`
	return fmt.Sprintf(body, id)
}

// legacy is a legacy service that runs the scripts of a test, byte for byte: real services fail in ways in which
// net/http's server cannot.
type legacy struct {
	t    testing.TB
	addr string // the same after a stop and a start

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	scripts  map[string]script // by path
	handlers sync.WaitGroup
}

// script answers one request. A connection whose script returns false is closed.
type script func(c net.Conn, r *http.Request) (keepAlive bool)

func startLegacy(t testing.TB) *legacy {
	l := &legacy{t: t, addr: "127.0.0.1:0", conns: map[net.Conn]bool{}, scripts: map[string]script{}}
	l.start()
	t.Cleanup(l.stop)
	return l
}

func (l *legacy) start() {
	listener, err := net.Listen("tcp", l.addr)
	if err != nil {
		l.t.Fatal(err)
	}
	l.listener, l.addr = listener, listener.Addr().String()
	l.handlers.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.conns[c] = true
			l.mu.Unlock()
			l.handlers.Go(func() { l.serve(c) })
		}
	})
}

// stop closes the listener, so that connections are refused, and all connections.
func (l *legacy) stop() {
	_ = l.listener.Close()
	l.mu.Lock()
	for c := range l.conns {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.handlers.Wait()
}

// answer sets the script for a path.
func (l *legacy) answer(path string, s script) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scripts[path] = s
}

func (l *legacy) serve(c net.Conn) {
	defer func() {
		l.mu.Lock()
		delete(l.conns, c)
		l.mu.Unlock()
		_ = c.Close()
	}()
	for r := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body)) // for the script
		l.mu.Lock()
		s := l.scripts[req.URL.EscapedPath()]
		l.mu.Unlock()
		if s == nil {
			s = raw("HTTP/1.1 599 No Script\r\ncontent-length: 0\r\n\r\n")
		}
		if !s(c, req) {
			return
		}
	}
}

// raw returns a script that sends a response as it is.
func raw(response string) script {
	return func(c net.Conn, _ *http.Request) bool {
		_, err := io.WriteString(c, response)
		return err == nil
	}
}

// parseScript reads the "legacy" part of a case: a response as it is on the wire but with bare newlines, framed as
// Spring Boot does (chunked) unless it has a content-length; "content-length: auto" is the length of the body. The
// words after "!" in the first line change how it is sent:
//
//	refuse         nothing listens: see testCase.run
//	reset          the connection breaks without an answer
//	hang           no answer ever comes
//	reset-in-body  the connection breaks in the middle of the body
//	hang-in-body   the body stops in the middle
//	bad-chunk      a chunk size that is no number follows the body
//	close          the body is not framed: the connection ends after it
//	as-is          the body is not framed, and the connection stays
//	byte-chunks    each byte is a chunk
//	trailers       trailers follow the body
//	before=N       an interim response with status N comes first
//	headers=N      N more headers of 500 bytes each
//	escapes        the body has Go's escapes, for bytes that no text file has
//	gzip           the body is compressed
//	deflate        the same, in the zlib format (RFC 9110, section 8.4.1.2)
//	cut=N          the last N bytes of the body are missing
//	pad=N          N spaces follow the first brace
//	nested=N       N arrays in each other stand in the place of the @
//
// sent is the body.
func parseScript(text string) (respond script, sent string, err error) {
	first, rest, _ := strings.Cut(text, "\n")
	words := strings.Fields(strings.TrimPrefix(first, "!"))
	if !strings.HasPrefix(first, "!") {
		words, rest = nil, text
	}
	head, body, _ := strings.Cut(rest, "\n\n")
	head, body = strings.TrimSuffix(head, "\n"), strings.TrimSuffix(body, "\n")
	how := map[string]bool{}
	for _, word := range words {
		name, arg, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(arg)
		how[name] = true
		switch name {
		case "before":
			head = fmt.Sprintf("HTTP/1.1 %d Early\nlink: </style.css>\n\n%s", n, head)
		case "headers":
			for i := range n {
				head += fmt.Sprintf("\nx-%d: %s", i, strings.Repeat("h", 500))
			}
		case "escapes":
			if body, err = strconv.Unquote(`"` + strings.ReplaceAll(body, `"`, `\"`) + `"`); err != nil {
				return nil, "", fmt.Errorf("escapes: %w", err)
			}
		case "gzip":
			body = gzipped(body)
		case "deflate":
			body = deflated(body)
		case "cut":
			body = body[:max(0, len(body)-n)]
		case "pad":
			body = strings.Replace(body, "{", "{"+strings.Repeat(" ", n), 1)
		case "nested":
			body = strings.Replace(body, "@", strings.Repeat("[", n)+strings.Repeat("]", n), 1)
		case "refuse", "reset", "hang", "reset-in-body", "hang-in-body", "bad-chunk", "close", "as-is", "byte-chunks",
			"trailers":
		default:
			return nil, "", fmt.Errorf("no such word: %q", word)
		}
	}
	length := "content-length: " + strconv.Itoa(len(body))
	message := strings.ReplaceAll(frame(head, body, how), "content-length: auto", length)
	return func(c net.Conn, r *http.Request) bool {
		switch {
		case how["reset"]:
			return reset(c)
		case how["hang"]:
			return hang(c)
		case how["reset-in-body"]:
			return raw(message)(c, r) && reset(c)
		case how["hang-in-body"]:
			return raw(message)(c, r) && hang(c)
		}
		return raw(message)(c, r) && !how["close"]
	}, body, nil
}

// frame returns a message with a header section, whose newlines are bare, and a body.
func frame(head, body string, how map[string]bool) string {
	last := head[max(0, strings.LastIndex(head, "HTTP/")):] // after interim responses
	bodyless := strings.Contains(last, " 204 ") || strings.Contains(last, " 304 ")
	wire := strings.ReplaceAll(head, "\n", "\r\n")
	if bodyless || how["close"] || how["as-is"] || strings.Contains(last, "content-length:") {
		return wire + "\r\n\r\n" + body
	}
	var b strings.Builder
	b.WriteString(wire + "\r\ntransfer-encoding: chunked\r\n")
	if how["trailers"] {
		b.WriteString("trailer: x-checksum\r\n")
	}
	b.WriteString("\r\n")
	size := max(len(body), 1)
	if how["byte-chunks"] {
		size = 1
	}
	for chunk := range slices.Chunk([]byte(body), size) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(chunk), chunk)
	}
	switch {
	case how["reset-in-body"], how["hang-in-body"]:
	case how["bad-chunk"]:
		b.WriteString("zz\r\n")
	case how["trailers"]:
		b.WriteString("0\r\nx-checksum: 1\r\n\r\n")
	default:
		b.WriteString("0\r\n\r\n")
	}
	return b.String()
}

// withLength returns a response of known length. The headers are lines that end with \r\n.
func withLength(body, headers string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%scontent-length: %d\r\n\r\n%s", headers, len(body), body)
}

// chunked returns a response with a chunk for each part.
func chunked(parts ...string) string {
	var b strings.Builder
	b.WriteString("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
	for _, p := range parts {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(p), p)
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

func reset(c net.Conn) bool {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST, not FIN
	}
	return false
}

// hang returns when the peer has closed the connection.
func hang(c net.Conn) bool {
	_, _ = io.Copy(io.Discard, c)
	return false
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}
