//go:build cgo

package envoy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"

	"weft/enrich"
	"weft/internal/envoyhttp"
	"weft/test/harness"
)

// differentialRules are the built-in rules with field selection, and two more: one merges and never degrades, and one
// streams large cores.
var differentialRules = selectingRules() + `
  - name: merged
    match: {path: "/merged/{userId:int64}", methods: [GET, POST]}
    legacy_path: /api/v1/users/{userId}
    core: {verify: {userId: userId}, limit: 64KiB}
    shape: merge
    select: {param: fields, forward: true}
    extensions: *extensions

  - name: streamed
    match: {path: "/streamed/{userId:int64}"}
    legacy_path: /api/v1/users/{userId}
    core:
      fields: {userId: int64, username: string, email: string, createdAt: string}
      verify: {userId: userId}
      limit: 64KiB
      large: stream
    extensions: *extensions
    degrade: always
    messages: *messages
`

// FuzzModule sends random exchanges through weft as an external processor and as a module. What the client and the
// legacy service get is equal, unless the connection of the legacy service breaks in a response: then it depends on how
// much Envoy has read. Without -fuzz, FuzzModule sends 150 exchanges. Answers that exceed Envoy's buffer, which differ,
// are not generated: see TestLargeAnswersInModule.
func FuzzModule(f *testing.F) {
	for seed := range uint64(150) {
		choices := make([]byte, 32)
		random := rand.New(rand.NewPCG(seed, 1))
		for i := range choices {
			choices[i] = byte(random.Uint32())
		}
		f.Add(choices)
	}
	rules := []byte(differentialRules)
	closeEarly := func(m *hcmv3.HttpConnectionManager) { m.DelayedCloseTimeout = durationpb.New(10 * time.Millisecond) }
	options := systemOptions{timeout: caseTimeout, change: changeManager(f, closeEarly)}
	module, _ := startModule(f, rules, options)
	options.rules = parseRules(f, differentialRules)
	extProc := startSystem(f, options)
	f.Cleanup(func() { // before Envoy ends
		harness.Eventually(f, "no exchange remains, and none has panicked", func() bool {
			metrics := module.metrics(f)
			return strings.Contains(metrics, "weft_exchanges_open 0\n") && strings.Contains(metrics, "weft_panics_total 0\n")
		})
	})
	f.Fuzz(func(t *testing.T, choices []byte) {
		x := randomExchange(choices)
		got, want := x.run(t, module), x.run(t, extProc)
		if strings.HasPrefix(want.header.Get("x-weft"), "degraded") && want.header.Get("content-length") == "" {
			got.header.Del("content-length") // the module replaces a large failed response as soon as the buffer is full
		}
		if !x.breaks() && !reflect.DeepEqual(got, want) {
			t.Errorf("%.2000s\nmodule:   %.2000s\next_proc: %.2000s", fmt.Sprintf("%+v", x), fmt.Sprintf("%+v", got),
				fmt.Sprintf("%+v", want))
		}
	})
}

// exchange is a random exchange.
type exchange struct {
	protocol                    protocol
	method, target, requestBody string
	requestHeaders              []string
	responses                   []string // as on the wire, of the first and the next tries
	ends                        []string // what follows them
	documents                   []string
}

// breaks reports whether a connection of the legacy service breaks in a response.
func (x exchange) breaks() bool { return slices.Contains(x.ends, "break") }

// choices returns random numbers from the input of a fuzz target, and zeros after its end.
type choices []byte

func (c *choices) below(n int) int {
	if len(*c) == 0 {
		return 0
	}
	i := int((*c)[0]) % n
	*c = (*c)[1:]
	return i
}

func pick[T any](c *choices, from ...T) T { return from[c.below(len(from))] }

// randomExchange returns an exchange. Zeros choose what is most frequent.
func randomExchange(input []byte) exchange {
	c := choices(input)
	x := exchange{protocol: pick(&c, http1, http1, http2)}
	x.method = pick(&c, "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET", "GET",
		"HEAD", "POST", "PUT", "DELETE", "OPTIONS")
	x.target = pick(&c, "/api/v1/users/", "/api/v3/composite-profile/", "/merged/", "/streamed/") +
		pick(&c, "7", "7", "7", "7", "7", "7", "7", "7", "7", "7", "7", "7?a=b", "7?a=b", "-7", "07",
			"9223372036854775808", "7/", "7?fields=core.email,extension.tags,email&a=b", "7?fields=extension", "7?fields=core",
			"7?a&fields=userId%2cextension.tags&fields=email", "7?fields=x", "7?fields=")
	if x.method == "POST" || x.method == "PUT" {
		x.requestBody = pick(&c, "", "{}", strings.Repeat("b", 70<<10))
	}
	for range c.below(3) {
		x.requestHeaders = append(x.requestHeaders, pick(&c,
			"if-none-match: *", "if-none-match: \"x\"", "range: bytes=0-1", "accept-encoding: gzip", "x-weft: forged",
			"x-weft-if-none-match: *", "cookie: a=b",
			"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	}
	for range 2 {
		response, end := randomResponse(&c)
		x.responses, x.ends = append(x.responses, response), append(x.ends, end)
	}
	x.documents = pick(&c, nil, nil,
		[]string{`{"userId": 7, "tags": ["vip"], "lastActivityScore": 25.9, "customSettings": {"theme": "dark"}}`},
		[]string{`{"userId": 7, "tags": "vip"}`},
		[]string{`{"userId": 7, "tags": null}`},
		[]string{`{"userId": 7, "lastActivityScore": 1}`, `{"userId": 7, "lastActivityScore": 2}`},
		[]string{`{"userId": -7, "tags": ["other"]}`},
		[]string{fmt.Sprintf(`{"userId": 7, "customSettings": {"a": %q}}`, strings.Repeat("a", 30<<10))})
	return x
}

// randomResponse returns a response of the legacy service, and what follows it on the connection.
func randomResponse(c *choices) (response, end string) {
	status := pick(c, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 200, 201, 202, 204, 205, 206, 226, 299,
		301, 304, 307, 401, 404, 404, 429, 500, 500, 502, 503, 504, 599)
	body := pick(c, coreUser7, coreUser7, coreUser7, coreUser7, coreUser7, coreUser7, coreUser7, coreUser7, coreUser7,
		strings.Replace(coreUser7, "{", "{"+strings.Repeat(" ", 60<<10), 1), // below the smallest limit
		strings.Replace(coreUser7, "{", "{"+strings.Repeat(" ", 300<<10), 1),
		strings.Replace(coreUser7, "{", "{"+strings.Repeat(" ", 1200<<10), 1), // over all limits
		strings.Replace(coreUser7, "7", "8", 1), strings.Replace(coreUser7, "7", "7.0", 1),
		"", "\xef\xbb\xbf"+coreUser7, "null", "[]", "<html>", coreUser7[:20], coreUser7+coreUser7, coreUser7+"\xff",
		`{"userId":7}`, `{"userId":7,"extension":1,"errors":2}`, `{"userId":"7","username":"u"}`)
	var b strings.Builder
	for range pick(c, 0, 0, 0, 0, 1, 2) {
		b.WriteString(pick(c, "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"))
	}
	fmt.Fprintf(&b, "HTTP/1.1 %d Status\r\n", status)
	for range c.below(4) {
		b.WriteString(pick(c, "content-type: application/json", "content-type: text/html; charset=utf-8", "etag: \"x\"",
			"set-cookie: a=1\r\nset-cookie: b=2", "last-modified: Tue, 01 Jan 2030 00:00:00 GMT", "vary: origin",
			"cache-control: max-age=9", "cache-control: no-transform", "x-weft: forged", "content-encoding: br",
			"content-encoding: identity", "accept-ranges: bytes", "server-timing: db;dur=1", "digest: x",
			"x-large: "+strings.Repeat("h", 9000)) + "\r\n")
	}
	if c.below(8) == 7 {
		b.WriteString("content-encoding: gzip\r\n")
		if c.below(4) > 0 {
			body = gzipped(body)
		}
	}
	end = pick(c, "", "", "", "", "", "", "", "", "", "close", "no response")
	if status == 204 || status == 304 {
		return b.String() + "\r\n", end
	}
	switch pick(c, "chunked", "chunked", "chunked", "length", "length", "length", "trailers", "trailers", "close",
		"short") {
	case "length":
		fmt.Fprintf(&b, "content-length: %d\r\n\r\n%s", len(body), body)
	case "short": // the connection ends before the body
		fmt.Fprintf(&b, "content-length: %d\r\n\r\n%s", len(body)+1, body)
		end = "break"
	case "close":
		b.WriteString("\r\n" + body)
		end = "close"
	case "trailers":
		writeChunks(c, &b, body)
		b.WriteString("0\r\nx-checksum: 1\r\n\r\n")
	default:
		writeChunks(c, &b, body)
		b.WriteString("0\r\n\r\n")
	}
	return b.String(), end
}

// writeChunks writes a body in chunks.
func writeChunks(c *choices, b *strings.Builder, body string) {
	b.WriteString("transfer-encoding: chunked\r\n\r\n")
	size := max(1, len(body)/pick(c, 1, 2, 3, 50))
	for chunk := range slices.Chunk([]byte(body), size) {
		fmt.Fprintf(b, "%x\r\n%s\r\n", len(chunk), chunk)
	}
}

// outcome is what the client and the legacy service get.
type outcome struct {
	failed          bool // the client got no complete response
	status          int
	header, trailer http.Header
	body            string
	requests        []string // that the legacy service got
}

// run sends the exchange through a system.
func (x exchange) run(t *testing.T, s *system) (o outcome) {
	t.Helper()
	documents, err := parseDocuments(strings.Join(x.documents, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	s.t = t // a fuzz target must not use f
	s.setProfiles(documents...)
	var mu sync.Mutex
	respond := func(c net.Conn, r *http.Request) bool {
		mu.Lock()
		body, _ := io.ReadAll(r.Body)
		o.requests = append(o.requests, describe(r, body))
		try := min(len(o.requests), len(x.responses)) - 1
		mu.Unlock()
		response, end := x.responses[try], x.ends[try]
		if r.Method == http.MethodHead { // without the body
			start := strings.LastIndex(response, " Status\r\n")
			response = response[:start+strings.Index(response[start:], "\r\n\r\n")+4]
		}
		if end == "no response" {
			return reset(c)
		}
		return raw(response)(c, r) && end == ""
	}
	path, _, _ := strings.Cut(x.target, "?")
	id := path[strings.LastIndex(strings.TrimSuffix(path, "/"), "/")+1:]
	for _, path := range []string{path, "/api/v1/users/" + id} {
		s.legacy.answer(path, respond)
	}

	req, err := http.NewRequestWithContext(t.Context(), x.method, s.URL+x.target, strings.NewReader(x.requestBody))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range parseHeaders(strings.Join(x.requestHeaders, "\n")) {
		req.Header.Add(h[0], h[1])
	}
	client := harness.NewClient(x.protocol == http2)
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return outcome{failed: true}
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil { // how much has arrived is random
		return outcome{failed: true, status: resp.StatusCode}
	}
	weft := resp.Header.Get("x-weft")
	if strings.HasPrefix(weft, "streamed") && !json.Valid(body) { // whether the prefix was sent before the error is random
		body = bytes.TrimPrefix(bytes.TrimPrefix(body, []byte(`{"core":`)), []byte(enrich.ByteOrderMark))
	}
	mu.Lock()
	defer mu.Unlock()
	return outcome{
		status: resp.StatusCode, header: constant(resp.Header), trailer: resp.Trailer, body: string(body),
		requests: o.requests,
	}
}

// constant returns headers without values that differ between two exchanges.
func constant(h http.Header) http.Header {
	h = h.Clone()
	for name := range h {
		switch {
		case name == "Date" || name == "X-Request-Id" || name == "Traceparent" || strings.HasPrefix(name, "X-Envoy-"):
			delete(h, name)
		case name == "Server-Timing":
			for i, value := range h[name] {
				if strings.HasPrefix(value, "legacy;") {
					h[name][i] = "of weft"
				}
			}
		}
	}
	return h
}

// describe returns what the legacy service got. If no rule matches, a client's own x-weft-if-none-match passes, unless
// the route has a fallback, which only exists with ext_proc.
func describe(r *http.Request, body []byte) string {
	header := constant(r.Header)
	header.Del(envoyhttp.IfNoneMatchHeader)
	return fmt.Sprintf("%s %s %v %.100q %d", r.Method, r.RequestURI, header, body, len(body))
}
