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
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"weft/test/harness"
)

// corpusCase is one request, and the response of the legacy service. The comment of a file describes the case and has
// options:
//
//	protocol: 1.0, 1.1 or 2      of the client
//	request-body: 8MiB           a generated body instead of a text; the same for response-body
//	refused: 400                 the status with which every Envoy rejects the request; the comment says why
//	stream: true                 the legacy service sends a line of the body after the client has received the last one
//
// The request and the response follow as on the wire, with bare newlines and decoded bodies; "content-length: auto" is
// the length of the body. Bodies have Go's escapes. Optional parts are request-trailers, interim and response-trailers.
type corpusCase struct {
	name, protocol    string
	request, response *corpusMessage
	interim           string // a response before the response
	isStream          bool
	refused           string // the status with which every Envoy rejects the request; empty if it does not

	received chan record   // from the legacy service
	next     chan struct{} // to it, in a stream: the client has received the line
}

type corpusMessage struct {
	first    string
	fields   []string
	body     []byte
	trailers []string
}

func readCorpusCase(t *testing.T, file string) *corpusCase {
	t.Helper()
	archive, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := &corpusCase{
		name: strings.TrimSuffix(filepath.Base(file), ".txtar"), request: &corpusMessage{}, response: &corpusMessage{},
	}
	options := map[string]string{}
	for line := range strings.Lines(string(archive.Comment)) {
		if m := regexp.MustCompile(`^([a-z-]+): (\S+)\n$`).FindStringSubmatch(line); m != nil {
			options[m[1]] = m[2]
		}
	}
	c.protocol, c.refused = options["protocol"], options["refused"]
	c.isStream = options["stream"] == "true"
	for _, f := range archive.Files {
		text := strings.TrimSuffix(string(f.Data), "\n")
		switch f.Name {
		case "request":
			c.request.parse(t, text, options["request-body"])
		case "request-trailers":
			c.request.trailers = strings.Split(text, "\n")
		case "response":
			c.response.parse(t, text, options["response-body"])
		case "response-trailers":
			c.response.trailers = strings.Split(text, "\n")
		case "interim":
			c.interim = strings.ReplaceAll(text, "\n", "\r\n") + "\r\n\r\n"
		default:
			t.Fatalf("%s: unknown part %q", file, f.Name)
		}
	}
	if c.request.first == "" || c.response.first == "" || !slices.Contains([]string{"1.0", "1.1", "2"}, c.protocol) {
		t.Fatalf("%s: want a request, a response, and protocol: 1.0, 1.1 or 2", file)
	}
	return c
}

func (m *corpusMessage) parse(t *testing.T, text, size string) {
	t.Helper()
	head, body, _ := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	m.first, m.fields = lines[0], lines[1:]
	unescaped, err := strconv.Unquote(`"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(body) + `"`)
	if err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	m.body = []byte(unescaped)
	if size != "" {
		n, err := strconv.Atoi(strings.TrimSuffix(size, "MiB"))
		if err != nil {
			t.Fatal(err)
		}
		m.body = bytes.Repeat([]byte("0123456789abcdef"), n<<20/16)
	}
	for i, f := range m.fields {
		m.fields[i] = strings.ReplaceAll(f, "content-length: auto", fmt.Sprintf("content-length: %d", len(m.body)))
	}
}

// head returns the message up to the empty line, as on the wire.
func (m *corpusMessage) head() string {
	return strings.Join(append([]string{m.first}, m.fields...), "\r\n") + "\r\n\r\n"
}

// tail returns the body and the trailers, as on the wire.
func (m *corpusMessage) tail() string {
	if !strings.EqualFold(fieldOf(m.fields, "transfer-encoding"), "chunked") {
		return string(m.body)
	}
	var b strings.Builder
	for chunk := range slices.Chunk(m.body, 50000) {
		b.WriteString(chunkOf(chunk))
	}
	b.WriteString("0\r\n")
	for _, trailer := range m.trailers {
		b.WriteString(trailer + "\r\n")
	}
	return b.String() + "\r\n"
}

func chunkOf(data []byte) string { return fmt.Sprintf("%x\r\n%s\r\n", len(data), data) }

// status returns the status of a response.
func (m *corpusMessage) status() int {
	_, rest, _ := strings.Cut(m.first, " ")
	status, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(status)
	return n
}

func (m *corpusMessage) header() http.Header {
	h := http.Header{}
	for _, f := range m.fields {
		name, value, _ := strings.Cut(f, ":")
		h.Add(name, strings.TrimSpace(value))
	}
	return h
}

// fieldOf returns the value of the first field with a name.
func fieldOf(fields []string, name string) string {
	for _, f := range fields {
		if n, value, _ := strings.Cut(f, ":"); strings.EqualFold(n, name) {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// addFields records fields: the values by lower-case name, and the spelling of the names.
func (r record) addFields(kind string, fields []string) {
	var spelling []string
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ":")
		lower := strings.ToLower(name)
		if name != lower {
			spelling = append(spelling, name)
		}
		r.add(kind+" "+lower, strings.TrimSpace(value))
	}
	slices.Sort(spelling)
	if len(spelling) > 0 {
		r[kind+" names"] = strings.Join(spelling, " ")
	}
}

func (r record) addHeader(kind string, header http.Header) {
	for name, values := range header {
		for _, value := range values {
			r.add(kind+" "+strings.ToLower(name), value)
		}
	}
}

// add records a value. It joins values of the same key, and replaces values that differ between runs.
func (r record) add(key, value string) {
	value = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`).
		ReplaceAllString(value, "UUID")
	switch key {
	case "response header x-envoy-upstream-service-time":
		value = "MS"
	case "response header date":
		value = regexp.MustCompile(`^\w{3}, \d\d \w{3} 20[2-9]\d .*`).ReplaceAllString(value, "NOW")
	case "response header server-timing":
		value = regexp.MustCompile(`dur=[0-9.]+`).ReplaceAllString(value, "dur=MS")
	}
	if before, ok := r[key]; ok {
		value = before + " | " + value
	}
	r[key] = value
}

func (r record) addBody(kind string, body []byte) {
	if len(body) > 1000 {
		r[kind+" body"] = fmt.Sprintf("%d bytes, SHA-256 %x", len(body), sha256.Sum256(body))
	} else if len(body) > 0 {
		r[kind+" body"] = string(body)
	}
}

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
