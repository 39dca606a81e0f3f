package envoy_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestMalformedRequests: Envoy rejects malformed requests also on paths with weft's filters.
func TestMalformedRequests(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	for name, test := range map[string]struct {
		request string
		want    int
	}{
		"an unknown method": {"FOO {path} HTTP/1.1\r\nhost: x\r\n\r\n", 400},
		"a large header": {
			"GET {path} HTTP/1.1\r\nhost: x\r\nx-a: " + strings.Repeat("a", 70_000) + "\r\n\r\n", 431,
		},
		"many headers": {"GET {path} HTTP/1.1\r\nhost: x\r\n" + strings.Repeat("a: b\r\n", 150) + "\r\n", 431},
		"two lengths": {
			"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400,
		},
		"no host":                  {"GET {path} HTTP/1.1\r\n\r\n", 400},
		"a space in the path":      {"GET {path} 8 HTTP/1.1\r\nhost: x\r\n\r\n", 400},
		"a control byte in a name": {"GET {path} HTTP/1.1\r\nhost: x\r\nx\x01: b\r\n\r\n", 400},
	} {
		for _, path := range []string{"/api/v1/users/7", "/api/v3/composite-profile/7", "/x"} {
			t.Run(name+" on "+path, func(t *testing.T) {
				c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
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
