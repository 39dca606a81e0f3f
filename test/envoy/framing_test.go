package envoy_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"weft/test/harness"
)

// pipeline sends requests on one connection without waiting for responses, and returns these. Further bytes on the
// connection fail the test: a body where there must be none, or one whose length is not the announced one, would be
// read as the headers of the next response.
func (s *system) pipeline(t *testing.T, requests ...string) []harness.Answer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var all bytes.Buffer
	for _, r := range requests {
		all.WriteString(strings.ReplaceAll(strings.TrimSuffix(r, "\n"), "\n", "\r\n") + "\r\n\r\n")
	}
	if _, err := conn.Write(all.Bytes()); err != nil {
		t.Fatal(err)
	}
	var answers []harness.Answer
	wire := bufio.NewReader(conn)
	for _, r := range requests {
		method, _, _ := strings.Cut(r, " ")
		resp, err := http.ReadResponse(wire, &http.Request{Method: method})
		if err != nil {
			t.Fatalf("answer to %q: %v", r, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatalf("answer to %q: %v", r, err)
		}
		answers = append(answers, harness.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)})
	}
	if rest, err := io.ReadAll(wire); err != nil || len(rest) > 0 {
		t.Errorf("after the last answer: %q, %v", rest, err)
	}
	return answers
}

// TestPipelinedResponses: each response on a connection is framed correctly, whether it has no body or another one than
// the legacy service sent.
func TestPipelinedResponses(t *testing.T) {
	s := startSystem(t, systemOptions{})
	known := "HTTP/1.1 200 OK\r\netag: \"legacy\"\r\nlast-modified: Sat, 29 Feb 2020 12:34:56 GMT\r\n" +
		"accept-ranges: bytes\r\ncontent-length: 55\r\n\r\n"
	s.legacy.answer("/api/v1/users/7", func(c net.Conn, r *http.Request) bool {
		if r.Method == http.MethodHead {
			return raw(known)(c, r)
		}
		return raw(known+coreUser7)(c, r)
	})
	s.legacy.answer("/api/v1/users/8", raw("HTTP/1.1 204 No Content\r\n\r\n"))
	s.legacy.answer("/api/v1/users/9", raw("HTTP/1.1 500 Oh\r\ncontent-length: 3\r\n\r\n"))
	s.legacy.answer("/api/v1/users/10", raw("HTTP/1.1 304 Not Modified\r\netag: \"legacy\"\r\n\r\n"))

	composite := s.get(t, "/api/v1/users/7")
	tag := composite.Header.Get("etag")
	if tag == "" || tag == `"legacy"` {
		t.Fatalf("etag %q, want one of the composite", tag)
	}
	answers := s.pipeline(t,
		"GET /api/v1/users/7 HTTP/1.1\nhost: x",
		"HEAD /api/v1/users/7 HTTP/1.1\nhost: x",
		"GET /api/v1/users/7 HTTP/1.1\nhost: x\nif-none-match: "+tag,
		"HEAD /api/v1/users/9 HTTP/1.1\nhost: x",
		"GET /api/v1/users/8 HTTP/1.1\nhost: x",
		"GET /api/v1/users/10 HTTP/1.1\nhost: x",
		"GET /api/v1/users/7 HTTP/1.1\nhost: x\nif-none-match: \"legacy\"",
		"HEAD /api/v3/composite-profile/7 HTTP/1.1\nhost: x",
		"GET /api/v3/composite-profile/7 HTTP/1.1\nhost: x\nif-none-match: \"a\", W/"+tag+"\nconnection: close",
	)
	want := []string{
		"200\nx-weft: composed\netag: " + tag + "\naccept-ranges: -\nlast-modified: -\n\n" + composite.Body,
		"200\nx-weft: passed; reason=head\netag: -\nlast-modified: -\naccept-ranges: -\ncontent-length: -",
		"304\nx-weft: composed\netag: " + tag + "\ncontent-length: -\ntransfer-encoding: -",
		"500\nx-weft: passed; reason=head\ncontent-length: -",
		"200\nx-weft: degraded; reason=core-empty\n\n" + withoutCore(8),
		"304\nx-weft: passed; reason=redirect\netag: \"legacy\"",
		"200\nx-weft: composed\netag: " + tag + "\n\n" + composite.Body,
		"200\nx-weft: passed; reason=head\netag: -\ncontent-length: -",
		"304\nx-weft: composed\netag: " + tag,
	}
	for i, w := range want {
		checkAnswer(t, w, "", answers[i])
	}
}

// TestHTTP10: a client of HTTP/1.0, without chunked bodies and a Host, gets a body that ends with the connection.
func TestHTTP10(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	s.legacy.answer("/api/v1/users/9", raw("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n"))
	for path, body := range map[string]string{
		"/api/v1/users/7": compositeUser7,
		"/api/v1/users/9": withoutCore(9),
	} {
		answers := s.pipeline(t, "GET "+path+" HTTP/1.0")
		checkAnswer(t, "200\ntransfer-encoding: -\n\n"+body, "", answers[0])
	}
}
