package envoy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"weft/test/harness"
)

// TestDisconnectLeaksNothing: whenever in an exchange the client disconnects, no goroutine of weft and no stream of
// Envoy is left.
func TestDisconnectLeaksNothing(t *testing.T) {
	release := make(chan struct{}) // holds MongoDB
	var held sync.Once
	unhold := func() { held.Do(func() { close(release) }) }
	proxy := startMongoProxy(t, func() { <-release })
	s := startSystem(t, systemOptions{mongodbURI: proxy, timeout: time.Minute})
	t.Cleanup(unhold) // before the proxy waits for its connections

	half, _, _ := strings.Cut(legacyUser7, `"createdAt"`)
	tests := []struct {
		name    string
		legacy  string // all that the legacy service sends
		reached string // function in which a goroutine of weft is when the client disconnects
	}{
		{"while the legacy service works", "", "receiveResponseHeaders"},
		{"in the middle of the body", half, "receiveResponseBody"},
		{"while weft waits for MongoDB", legacyUser7, "enrich.(*Read).Await"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			asked := make(chan struct{}, 1)
			s.legacy.answer("/api/v1/users/7", func(c net.Conn, r *http.Request) bool {
				asked <- struct{}{}
				return raw(test.legacy)(c, r) && (test.legacy == legacyUser7 || hang(c))
			})
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, "GET /api/v1/users/7 HTTP/1.1\r\nhost: localhost\r\n\r\n")
			<-asked
			harness.Eventually(t, "weft is in "+test.reached, func() bool {
				return strings.Contains(goroutines(t), test.reached)
			})
			if active := s.stat(t, "cluster.weft.upstream_rq_active"); active != 1 {
				t.Errorf("Envoy has %d streams to weft, want 1", active)
			}
			_ = conn.Close()
			s.checkIdle(t)
		})
	}
	unhold()

	t.Run("after answers of every kind", func(t *testing.T) {
		for i, response := range []string{
			legacyUser7,
			"HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno",
			"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull",
		} {
			path := fmt.Sprintf("/api/v1/users/%d", i)
			s.legacy.answer(path, raw(response))
			s.get(t, path)
		}
		s.checkIdle(t)
	})
}

// checkIdle waits until nothing of an exchange is left, in weft and in Envoy.
func (s *system) checkIdle(t *testing.T) {
	t.Helper()
	if s.weftAdmin != "" {
		s.checkModuleIdle(t)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := harness.Await(ctx, func(context.Context) error {
		all := goroutines(t)
		if strings.Contains(all, "extproc.(*Server).Process") || strings.Contains(all, "enrich.(*Read)") {
			return fmt.Errorf("goroutines of weft are left:\n%s", all)
		}
		return nil
	})
	if err == nil {
		err = s.Envoy.AwaitIdle(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// goroutines returns the stacks of all goroutines.
func goroutines(t testing.TB) string {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
