package envoy_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestMalformedRequests: who sends what HTTP does not allow is told so, also where weft's filters are in the way.
func TestMalformedRequests(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	for name, test := range map[string]struct {
		request string
		want    int
	}{
		"an unknown method":        {"FOO {path} HTTP/1.1\r\nhost: x\r\n\r\n", 400},
		"a large header":           {"GET {path} HTTP/1.1\r\nhost: x\r\nx-a: " + strings.Repeat("a", 70_000) + "\r\n\r\n", 431},
		"many headers":             {"GET {path} HTTP/1.1\r\nhost: x\r\n" + strings.Repeat("a: b\r\n", 150) + "\r\n", 431},
		"two lengths":              {"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		"no host":                  {"GET {path} HTTP/1.1\r\n\r\n", 400},
		"a space in the path":      {"GET {path} 8 HTTP/1.1\r\nhost: x\r\n\r\n", 400},
		"a control byte in a name": {"GET {path} HTTP/1.1\r\nhost: x\r\nx\x01: b\r\n\r\n", 400},
	} {
		for _, path := range []string{"/api/v1/users/7", "/api/v3/composite-profile/7", "/x"} {
			t.Run(name+" on "+path, func(t *testing.T) {
				c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = c.Close() }()
				if _, err := fmt.Fprint(c, strings.Replace(test.request, "{path}", path, 1)); err != nil {
					t.Fatal(err)
				}
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatalf("no answer: %v", err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != test.want {
					t.Errorf("%d, want %d", resp.StatusCode, test.want)
				}
			})
		}
	}
	s.checkIdle(t)
}

// TestFallbackAsksForTheWhole: while weft is down, too, the legacy service is asked for all of its answer in an encoding
// that can be read, where that is to be wrapped; and otherwise the client's request is the client's.
func TestFallbackAsksForTheWhole(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.weft.Stop()
	s.legacy.answer("/api/v1/users/7", func(c net.Conn, r *http.Request) bool {
		switch {
		case strings.Contains(r.Header.Get("accept-encoding"), "gzip"):
			body := gzipped(coreUser7)
			return raw(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n%s", len(body), body))(c, r)
		case r.Header.Get("range") != "":
			return raw("HTTP/1.1 206 Partial Content\r\ncontent-length: 4\r\ncontent-range: bytes 0-3/55\r\n\r\n{\"us")(c, r)
		case r.Header.Get("if-none-match") != "":
			return raw("HTTP/1.1 304 Not Modified\r\netag: \"L\"\r\n\r\n")(c, r)
		}
		return raw(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-encoding: identity\r\ncontent-length: %d\r\n\r\n%s", len(coreUser7), coreUser7))(c, r)
	})
	wrapped := "200\nx-weft: degraded; reason=weft-unavailable\n\n" +
		`{"core":` + coreUser7 + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
	for _, test := range []struct{ path, header, value, want string }{
		{"/api/v3/composite-profile/7", "accept-encoding", "gzip, br", wrapped},
		{"/api/v3/composite-profile/7", "range", "bytes=0-3", wrapped},
		{"/api/v3/composite-profile/7", "if-none-match", `"L"`, wrapped},
		{"/api/v1/users/7", "accept-encoding", "gzip, br", "200\ncontent-encoding: gzip\n\n" + gzipped(coreUser7)},
		{"/api/v1/users/7", "range", "bytes=0-3", "206\n\n{\"us"},
		{"/api/v1/users/7", "if-none-match", `"L"`, "304\n\n"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+test.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(test.header, test.value)
		checkAnswer(t, test.want, "", s.do(t, req))
	}
}
