package envoy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestNothingOutlivesAnExchange hangs up at each point of an exchange at which a client can, and looks for what is
// left: goroutines of weft, streams and connections of Envoy.
func TestNothingOutlivesAnExchange(t *testing.T) {
	release := make(chan struct{}) // holds MongoDB
	var held sync.Once
	unhold := func() { held.Do(func() { close(release) }) }
	proxy := startMongoProxy(t, func() { <-release })
	s := startSystem(t, systemOptions{mongodbURI: proxy.uri, timeout: time.Minute})
	t.Cleanup(unhold) // before the proxy waits for its connections

	half, _, _ := strings.Cut(legacyUser7, `"createdAt"`)
	tests := []struct {
		name string
		// legacy answers so much. If that is not all, no more follows.
		legacy string
		// reached is the function that a goroutine of weft is in when the client hangs up.
		reached string
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
			conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, "GET /api/v1/users/7 HTTP/1.1\r\nhost: localhost\r\n\r\n")
			<-asked
			eventually(t, "weft is in "+test.reached, func() bool { return strings.Contains(goroutines(t), test.reached) })
			if active := s.gauge("cluster.weft.upstream_rq_active"); active != 1 {
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

// checkIdle waits until nothing of an exchange is left.
func (s *system) checkIdle(t *testing.T) {
	t.Helper()
	eventually(t, "no goroutine of weft is left", func() bool {
		all := goroutines(t)
		return !strings.Contains(all, "extproc.(*Server).Process") && !strings.Contains(all, "mongostore.(*batcher).command")
	})
	eventually(t, "no stream to weft is left", func() bool { return s.gauge("cluster.weft.upstream_rq_active") == 0 })
	eventually(t, "no request to legacy is left", func() bool { return s.gauge("cluster.legacy.upstream_rq_active") == 0 })
	eventually(t, "no request of a client is left", func() bool { return s.gauge("http.main.downstream_rq_active") == 0 })
}

// eventuallyTimeout is far more than what is waited for takes, also on a busy machine.
const eventuallyTimeout = 20 * time.Second

// eventually waits for a condition that comes true by itself, and fails the test if it does not.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(eventuallyTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never came true: %s\n%s", what, goroutines(t))
		}
	}
}

// goroutines are the stacks of all goroutines.
func goroutines(t *testing.T) string {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// gauge is the value of one of Envoy's statistics.
func (s *system) gauge(name string) int {
	resp, err := http.Get(s.envoy.Admin() + "/stats?format=json&filter=^" + name + "$")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var stats struct {
		Stats []struct{ Value int }
	}
	if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
		s.t.Fatal(err)
	}
	if len(stats.Stats) != 1 {
		s.t.Fatalf("Envoy has %d statistics named %s", len(stats.Stats), name)
	}
	return stats.Stats[0].Value
}
