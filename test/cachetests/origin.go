package cachetests

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Origin is the origin server of cases. It writes responses itself, because they have fields that net/http would
// change.
type Origin struct {
	mu   sync.Mutex
	runs map[string]*run // by the second part of the path
}

// run is a case that is being run.
type run struct {
	id       string
	requests []Request
	sent     []http.Header // fields of the response to each of the requests; nil before
	state    []serverRequest
}

// serverRequest is a request that the origin received.
type serverRequest struct {
	number int // of the client's request
	method string
	header http.Header
	saved  map[string]string // fields of the response, as the client must get them
}

// add adds a case.
func (o *Origin) add(id string, requests []Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.runs == nil {
		o.runs = map[string]*run{}
	}
	o.runs[id] = &run{id: id, requests: requests, sent: make([]http.Header, len(requests))}
}

// state returns the requests that were received for a case.
func (o *Origin) state(id string) []serverRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.runs[id].state
}

// Serve accepts connections until l is closed.
func (o *Origin) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		go o.serveConn(conn)
	}
}

// serveConn answers requests until the peer closes the connection, or a case does.
func (o *Origin) serveConn(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for r := bufio.NewReader(conn); ; {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		response := o.respond(request)
		if response == nil {
			return
		}
		if _, err := conn.Write(response); err != nil {
			return
		}
	}
}

// respond returns the bytes of the responses to a request, interim ones included; nil to close the connection.
func (o *Origin) respond(request *http.Request) []byte {
	var id string
	if parts := strings.Split(request.URL.Path, "/"); len(parts) > 2 {
		id = parts[2]
	}
	number, _ := strconv.Atoi(request.Header.Get("Req-Num"))
	o.mu.Lock()
	run := o.runs[id]
	o.mu.Unlock()
	if run == nil || number < 1 || number > len(run.requests) {
		return []byte("HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n")
	}
	r := &run.requests[number-1]
	time.Sleep(time.Duration(r.ResponsePause) * time.Second) // the case is about slow responses

	o.mu.Lock()
	defer o.mu.Unlock()
	var b bytes.Buffer
	for _, interim := range r.InterimResponses {
		fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", interim.Code, http.StatusText(interim.Code))
		writeFields(&b, interim.Fields)
	}
	status := run.status(number, request.Header)
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status.Code, status.Phrase)

	body := envelope(id)
	if r.ResponseBody != nil && *r.ResponseBody != "" {
		body = envelope(*r.ResponseBody)
	}
	now := time.Now()
	fields := []Field{
		{Name: "Server-Base-Url", Value: request.URL.RequestURI()},
		{Name: "Server-Request-Count", Value: strconv.Itoa(len(run.state) + 1)},
		{Name: "Client-Request-Count", Value: strconv.Itoa(number)},
		{Name: "Server-Now", Value: strconv.FormatInt(now.UnixMilli(), 10)},
	}
	header := headerOf(fields)
	saved := map[string]string{}
	for _, f := range r.ResponseHeaders {
		f = Field{Name: f.Name, Value: f.resolve(header, r), IsSaved: f.IsSaved}
		fields = append(fields, f)
		header.Add(f.Name, f.Value)
		if f.IsSaved {
			saved[f.Name] = strings.Join(header.Values(f.Name), ", ")
		}
	}
	run.sent[number-1] = header
	run.state = append(run.state, serverRequest{
		number: number, method: request.Method, header: request.Header, saved: saved,
	})
	var numbers []string
	for _, s := range run.state {
		numbers = append(numbers, strconv.Itoa(s.number))
	}
	fields = append(fields, Field{Name: "Request-Numbers", Value: strings.Join(numbers, " ")})
	if header.Get("Date") == "" {
		fields = append(fields, Field{Name: "Date", Value: now.UTC().Format(http.TimeFormat)})
	}
	if header.Get("Content-Type") == "" {
		fields = append(fields, Field{Name: "Content-Type", Value: "application/json"})
	}
	if r.Disconnect {
		return nil
	}
	if !hasBody(status.Code) {
		writeFields(&b, fields)
		return b.Bytes()
	}
	if length, err := strconv.Atoi(header.Get("Content-Length")); err == nil {
		body = body[:min(length, len(body))]
	} else {
		fields = append(fields, Field{Name: "Content-Length", Value: strconv.Itoa(len(body))})
	}
	writeFields(&b, fields)
	if request.Method != http.MethodHead {
		b.WriteString(body)
	}
	return b.Bytes()
}

// status returns the status of the response to a request with the given number and header.
func (run *run) status(number int, header http.Header) Status {
	r := &run.requests[number-1]
	if strings.HasSuffix(r.ExpectedType, "validated") {
		before := run.sent[number-2]
		if before == nil { // the cache answered it
			before = headerOf(run.requests[number-2].ResponseHeaders)
		}
		for validator, condition := range map[string]string{"Last-Modified": "If-Modified-Since", "Etag": "If-None-Match"} {
			if value := before.Get(validator); value != "" && header.Get(condition) == value {
				return Status{Code: http.StatusNotModified, Phrase: "Not Modified"}
			}
		}
		return Status{Code: statusNotConditional, Phrase: "304 Not Generated"}
	}
	if r.ResponseStatus != nil {
		return *r.ResponseStatus
	}
	return Status{Code: http.StatusOK, Phrase: "OK"}
}

// statusNotConditional is the status of the response to a request that should have had conditions.
const statusNotConditional = 999

// envelope returns the body of a response with text.
func envelope(text string) string {
	b, _ := json.Marshal(map[string]string{"body": text}) // of strings: no error
	return string(b)
}

func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// headerOf returns fields as http.Header.
func headerOf(fields []Field) http.Header {
	h := http.Header{}
	for _, f := range fields {
		h.Add(f.Name, f.Value)
	}
	return h
}

// writeFields writes fields and the end of the header.
func writeFields(b *bytes.Buffer, fields []Field) {
	for _, f := range fields {
		fmt.Fprintf(b, "%s: %s\r\n", f.Name, latin1(f.Value))
	}
	b.WriteString("\r\n")
}

// latin1 returns s as in a header field: JavaScript's strings are sent as ISO 8859-1.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r)) //nolint:gosec // cases have no greater ones
	}
	return string(b)
}
