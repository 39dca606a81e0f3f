package envoy_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"weft/test/harness"
)

// run sends the request to an address, and returns what the legacy service and the client received.
func (c *corpusCase) run(t *testing.T, legacy *recorder, addr string) record {
	t.Helper()
	c.received, c.next = make(chan record, 10), make(chan struct{}, 1000)
	defer close(c.next) // a stream that was truncated
	legacy.use(c)
	r := record{}
	var err error
	if c.protocol == "2" {
		err = c.runHTTP2(t, addr, r)
	} else {
		err = c.runHTTP1(addr, r)
	}
	if err != nil {
		r["error"] = err.Error()
		t.Errorf("%s: %v", addr, err)
	}
	for n := 1; ; n++ {
		select {
		case received := <-c.received:
			if n > 1 {
				t.Errorf("%s: the legacy service received the request %d times", addr, n)
			}
			for key, value := range received {
				r[key] = value
			}
		default:
			return r
		}
	}
}

// runHTTP1 sends the request unchanged.
func (c *corpusCase) runHTTP1(addr string, r record) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	wire := bufio.NewReader(conn)
	isExpecting := fieldOf(c.request.fields, "expect") != ""
	if _, err := io.WriteString(conn, c.request.head()); err != nil {
		return err
	}
	if !isExpecting {
		if _, err := io.WriteString(conn, c.request.tail()); err != nil {
			return err
		}
	}
	for {
		first, fields, err := readHead(wire)
		if err != nil {
			return err
		}
		protocol, rest, _ := strings.Cut(first, " ")
		status, reason, _ := strings.Cut(rest, " ")
		if status[0] == '1' && status != "101" {
			r.add("response interim", status)
			r.addFields("response interim header", fields)
			if isExpecting && status == "100" {
				if _, err := io.WriteString(conn, c.request.tail()); err != nil {
					return err
				}
			}
			continue
		}
		r["response protocol"], r["response status"], r["response reason"] = protocol, status, reason
		r.addFields("response header", fields)
		if status == "101" {
			return r.addTunnel(conn, wire)
		}
		method, _, _ := strings.Cut(c.request.first, " ")
		if method == http.MethodHead || status == "204" || status == "304" {
			return nil
		}
		trailers, err := c.readResponse(wire, fields, r)
		r.addFields("response trailer", trailers)
		return err
	}
}

// addTunnel sends bytes through an upgraded connection, and records the echo of the legacy service.
func (r record) addTunnel(conn net.Conn, wire io.Reader) error {
	for _, sent := range []string{"hello", strings.Repeat("0123456789", 20000), "\x00bye"} {
		errs := make(chan error, 1)
		go func() {
			_, err := io.WriteString(conn, sent)
			errs <- err
		}()
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(wire, got); err != nil {
			return err
		}
		if err := <-errs; err != nil {
			return err
		}
		r.add("response tunnel", fmt.Sprintf("%x", sha256.Sum256(got)))
	}
	return nil
}

// readResponse reads a body, and records it.
func (c *corpusCase) readResponse(wire *bufio.Reader, fields []string, r record) (trailers []string, err error) {
	body := io.Reader(wire) // until the connection ends
	isChunked := strings.EqualFold(fieldOf(fields, "transfer-encoding"), "chunked")
	if n, err := strconv.ParseInt(fieldOf(fields, "content-length"), 10, 64); err == nil {
		body = io.LimitReader(wire, n)
	} else if isChunked {
		body = httputil.NewChunkedReader(wire)
	}
	if err := c.readBody(body, r); err != nil || !isChunked {
		return nil, err
	}
	return readLines(wire)
}

// readBody reads a body to its end. In a stream it notifies the legacy service of each line.
func (c *corpusCase) readBody(body io.Reader, r record) error {
	var all []byte
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		all = append(all, line...)
		if c.isStream && err == nil {
			c.next <- struct{}{}
		}
		if err == io.EOF {
			r.addBody("response", all)
			return nil
		}
		if err != nil {
			return fmt.Errorf("truncated after %d bytes: %w", len(all), err)
		}
	}
}

// awaitLine returns when the client has received a line of a stream, or has disconnected.
func (c *corpusCase) awaitLine(line string) {
	if strings.HasSuffix(line, "\n") {
		<-c.next
	}
}

// readHead reads a message up to the empty line.
func readHead(wire *bufio.Reader) (first string, fields []string, err error) {
	lines, err := readLines(wire)
	if err != nil || len(lines) == 0 {
		return "", nil, fmt.Errorf("no message: %w", err)
	}
	return lines[0], lines[1:], nil
}

// readLines reads lines up to an empty one.
func readLines(wire *bufio.Reader) (lines []string, err error) {
	for text := textproto.NewReader(wire); ; {
		line, err := text.ReadLine()
		if err != nil || line == "" {
			return lines, err
		}
		lines = append(lines, line)
	}
}

// runHTTP2 sends the request over HTTP/2 without TLS.
func (c *corpusCase) runHTTP2(t *testing.T, addr string, r record) error {
	t.Helper()
	method, rest, _ := strings.Cut(c.request.first, " ")
	target, _, _ := strings.Cut(rest, " ")
	var body io.Reader
	if len(c.request.body) > 0 {
		body = io.MultiReader(bytes.NewReader(c.request.body)) // of unknown length
	}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+target, body)
	if err != nil {
		return err
	}
	request.Header = c.request.header()
	request.Host = request.Header.Get("Host")
	request.Header.Del("Host")
	for _, trailer := range c.request.trailers {
		name, value, _ := strings.Cut(trailer, ":")
		if request.Trailer == nil {
			request.Trailer = http.Header{}
		}
		request.Trailer.Set(name, strings.TrimSpace(value))
	}
	client := harness.NewClient(true)
	defer client.CloseIdleConnections()
	response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			r.add("response interim", strconv.Itoa(code))
			r.addHeader("response interim header", http.Header(header))
			return nil
		},
	})))
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	r["response protocol"], r["response status"] = response.Proto, strconv.Itoa(response.StatusCode)
	r.addHeader("response header", response.Header)
	err = c.readBody(response.Body, r)
	r.addHeader("response trailer", response.Trailer)
	return err
}
