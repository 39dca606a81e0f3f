package envoy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// legacy is a legacy service that does what each test scripts, down to the bytes: real services break in ways that
// net/http's server does not offer.
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

// answer sets what happens to requests for a path.
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
		_, _ = io.Copy(io.Discard, req.Body)
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

// raw answers with bytes.
func raw(response string) script {
	return func(c net.Conn, _ *http.Request) bool {
		_, err := io.WriteString(c, response)
		return err == nil
	}
}

// parseScript reads the "legacy" part of a case: a response as it is on the wire but with bare newlines, framed as
// Spring Boot does (chunked) unless it has a content-length; "content-length: auto" is the length of the body. The
// words after "!" in the first line change how it is sent. sent is the body.
func parseScript(text string) (respond script, sent string, err error) {
	first, rest, _ := strings.Cut(text, "\n")
	faults := strings.Fields(strings.TrimPrefix(first, "!"))
	if !strings.HasPrefix(first, "!") {
		faults, rest = nil, text
	}
	head, body, _ := strings.Cut(rest, "\n\n")
	body = strings.TrimSuffix(body, "\n")
	end := "0\r\n\r\n"
	for _, f := range faults {
		name, arg, _ := strings.Cut(f, "=")
		switch name {
		case "reset": // the connection ends without an answer
			return func(c net.Conn, _ *http.Request) bool { return reset(c) }, "", nil
		case "hang": // no answer ever
			return func(c net.Conn, _ *http.Request) bool { return hang(c) }, "", nil
		case "reset-in-body", "hang-in-body": // the body stops in the middle
			end = name
		case "bad-chunk": // a chunk size that is no number
			end = "zz\r\n"
		case "gzip":
			body = gzipped(body)
		case "escapes": // the body is a Go string literal without its quotes, for bytes that no text file has
			unquoted, err := strconv.Unquote(`"` + strings.ReplaceAll(body, `"`, `\"`) + `"`)
			if err != nil {
				return nil, "", fmt.Errorf("escapes: %w", err)
			}
			body = unquoted
		case "pad": // so many spaces inside of the object
			n, err := strconv.Atoi(arg)
			if err != nil {
				return nil, "", err
			}
			body = strings.Replace(body, "{", "{"+strings.Repeat(" ", n), 1)
		case "nested": // so many arrays in each other in place of the @
			n, err := strconv.Atoi(arg)
			if err != nil {
				return nil, "", err
			}
			body = strings.Replace(body, "@", strings.Repeat("[", n)+strings.Repeat("]", n), 1)
		default:
			return nil, "", fmt.Errorf("no such fault: %q", f)
		}
	}
	head = strings.ReplaceAll(strings.TrimSuffix(head, "\n"), "\n", "\r\n")
	lower := strings.ToLower(head)
	bodyless := strings.HasPrefix(head, "HTTP/1.1 204") || strings.HasPrefix(head, "HTTP/1.1 304")
	switch {
	case bodyless:
		return raw(head + "\r\n\r\n"), "", nil
	case strings.Contains(lower, "content-length: auto"):
		i := strings.Index(lower, "content-length: auto")
		head = head[:i] + "content-length: " + strconv.Itoa(len(body)) + head[i+len("content-length: auto"):]
		return raw(head + "\r\n\r\n" + body), body, nil
	case strings.Contains(lower, "content-length:"):
		return raw(head + "\r\n\r\n" + body), body, nil
	}
	message := head + "\r\ntransfer-encoding: chunked\r\n\r\n"
	if body != "" {
		message += fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
	}
	switch end {
	case "reset-in-body":
		return func(c net.Conn, r *http.Request) bool { return raw(message)(c, r) && reset(c) }, body, nil
	case "hang-in-body":
		return func(c net.Conn, r *http.Request) bool { return raw(message)(c, r) && hang(c) }, body, nil
	}
	return raw(message + end), body, nil
}

func reset(c net.Conn) bool {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // RST, not FIN
	}
	return false
}

// hang returns when the other side has given up.
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
