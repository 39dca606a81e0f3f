package envoy_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// recorder is a legacy service that records each request as it is on the wire, and gives the response of a case. It
// speaks HTTP/1.0, HTTP/1.1 and, without TLS, HTTP/2.
type recorder struct {
	addr     string
	current  atomic.Pointer[corpusCase]
	listener net.Listener
	http2    connListener
	handlers sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

func startRecorder(t *testing.T) *recorder {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &recorder{
		addr: listener.Addr().String(), listener: listener,
		http2: connListener{Listener: listener, conns: make(chan net.Conn), closed: make(chan struct{})},
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: http.HandlerFunc(l.serveHTTP2), Protocols: protocols} //nolint:gosec // of a test
	l.handlers.Go(func() { _ = server.Serve(l.http2) })
	l.handlers.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			l.mu.Lock()
			l.conns = append(l.conns, c)
			l.mu.Unlock()
			l.handlers.Go(func() { l.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		close(l.http2.closed)
		_ = server.Close()
		l.mu.Lock()
		for _, c := range l.conns {
			_ = c.Close()
		}
		l.mu.Unlock()
		l.handlers.Wait()
	})
	return l
}

func (l *recorder) use(c *corpusCase) { l.current.Store(c) }

// serve reads the first bytes of a connection, which say whether it is HTTP/2.
func (l *recorder) serve(c net.Conn) {
	wire := bufio.NewReader(c)
	if start, err := wire.Peek(4); err == nil && string(start) == "PRI " {
		select {
		case l.http2.conns <- bufferedConn{c, wire}:
		case <-l.http2.closed:
		}
		return
	}
	for l.serveHTTP1(c, wire) {
	}
	_ = c.Close()
}

// serveHTTP1 serves one request. It reports whether another one may follow.
func (l *recorder) serveHTTP1(c net.Conn, wire *bufio.Reader) bool {
	first, fields, err := readHead(wire)
	if err != nil {
		return false
	}
	exchange, r := l.current.Load(), record{}
	method, rest, _ := strings.Cut(first, " ")
	r["request method"] = method
	r["request target"], r["request protocol"], _ = strings.Cut(rest, " ")
	r.addFields("request header", fields)
	if fieldOf(fields, "expect") != "" {
		_, _ = io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\n")
	}
	var trailers []string
	body := io.LimitReader(wire, 0)
	isChunked := strings.EqualFold(fieldOf(fields, "transfer-encoding"), "chunked")
	if n, err := strconv.ParseInt(fieldOf(fields, "content-length"), 10, 64); err == nil {
		body = io.LimitReader(wire, n)
	} else if isChunked {
		body = httputil.NewChunkedReader(wire)
	}
	all, err := io.ReadAll(body)
	if err == nil && isChunked {
		trailers, err = readLines(wire)
	}
	if err != nil {
		return false
	}
	r.addBody("request", all)
	r.addFields("request trailer", trailers)
	exchange.received <- r

	response := exchange.response
	_, _ = io.WriteString(c, exchange.interim+response.head())
	switch {
	case response.status() == http.StatusSwitchingProtocols:
		_, _ = io.Copy(c, wire)
		return false
	case method == http.MethodHead:
		return true
	case exchange.isStream:
		for line := range strings.Lines(string(response.body)) {
			_, _ = io.WriteString(c, chunkOf([]byte(line)))
			exchange.awaitLine(line)
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
		return true
	}
	_, err = io.WriteString(c, response.tail())
	isFramed := fieldOf(response.fields, "content-length") != "" ||
		fieldOf(response.fields, "transfer-encoding") != "" || len(response.body) == 0
	return err == nil && isFramed && fieldOf(fields, "connection") != "close" &&
		fieldOf(response.fields, "connection") != "close"
}

func (l *recorder) serveHTTP2(w http.ResponseWriter, req *http.Request) {
	exchange, r := l.current.Load(), record{}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r["request method"], r["request target"], r["request protocol"] = req.Method, req.RequestURI, req.Proto
	r.add("request header host", req.Host)
	r.addHeader("request header", req.Header)
	r.addBody("request", body)
	r.addHeader("request trailer", req.Trailer)
	exchange.received <- r

	response, header := exchange.response, w.Header()
	for name, values := range response.header() {
		header[name] = values
	}
	for _, name := range []string{"Date", "Content-Type"} { // net/http would add them
		if header.Get(name) == "" {
			header[name] = nil
		}
	}
	header.Del("Transfer-Encoding")
	w.WriteHeader(response.status())
	control := http.NewResponseController(w)
	if exchange.isStream {
		for line := range strings.Lines(string(response.body)) {
			_, _ = io.WriteString(w, line)
			_ = control.Flush()
			exchange.awaitLine(line)
		}
	} else if req.Method != http.MethodHead {
		_, _ = w.Write(response.body)
	}
	for _, trailer := range response.trailers {
		name, value, _ := strings.Cut(trailer, ":")
		header.Set(http.TrailerPrefix+name, strings.TrimSpace(value))
	}
}

// connListener is a listener of connections that were accepted elsewhere.
type connListener struct {
	net.Listener // of the address
	conns        chan net.Conn
	closed       chan struct{}
}

func (l connListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l connListener) Close() error { return nil }

// bufferedConn is a connection from which bytes have been read ahead.
type bufferedConn struct {
	net.Conn
	wire *bufio.Reader
}

func (c bufferedConn) Read(p []byte) (int, error) { return c.wire.Read(p) }
