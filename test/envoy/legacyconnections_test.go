package envoy_test

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"

	"weft/enrich"
	"weft/envoy"
	"weft/internal/rulesfile"
	"weft/test/harness"
)

// TestLegacyIdleTimeout: Envoy closes an idle connection before the legacy service does. Otherwise a request could be
// sent while the legacy service closes the connection, and a POST would be lost.
func TestLegacyIdleTimeout(t *testing.T) {
	s := startSystem(t, systemOptions{
		config: func(c *envoy.Config) { c.LegacyIdleTimeout = 100 * time.Millisecond },
	})
	s.legacy.answer("/page", raw(withLength("hello", "")))
	s.get(t, "/page")
	harness.Eventually(t, "Envoy closes its idle connection to the legacy service", func() bool {
		s.legacy.mu.Lock()
		defer s.legacy.mu.Unlock()
		return len(s.legacy.conns) == 0
	})
}

// TestUnsentRequestsAreRetried: Envoy retries a request of which the legacy service has received nothing, with any
// method, with or without a rule.
func TestUnsentRequestsAreRetried(t *testing.T) {
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	rule := *rulesfile.Builtin().Rules[0]
	rule.Methods = []string{"GET", "POST"}
	s := startSystem(t, systemOptions{
		rules: []*enrich.Rule{&rule},
		change: func(b *bootstrapv3.Bootstrap) { // an endpoint without a listener; requests alternate between both
			a := b.GetStaticResources().GetClusters()[0].GetLoadAssignment()
			refusing := proto.CloneOf(a)
			setPort(refusing, port)
			a.GetEndpoints()[0].LbEndpoints = append([]*endpointv3.LbEndpoint{}, a.GetEndpoints()[0].GetLbEndpoints()[0],
				refusing.GetEndpoints()[0].GetLbEndpoints()[0])
		},
	})
	const body = `{"a":1}`
	var received atomic.Int32
	for _, path := range []string{"/orders", "/api/v1/users/7"} {
		s.legacy.answer(path, func(c net.Conn, r *http.Request) bool {
			received.Add(1)
			if got, _ := io.ReadAll(r.Body); string(got) != body {
				t.Errorf("%s: the legacy service received the body %q", path, got)
			}
			return raw(legacyUser7)(c, r)
		})
		for range 4 {
			request := s.newRequest(t, http.MethodPost, path)
			request.Body, request.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			if got := do(t, http1, request); got.Status != http.StatusOK {
				t.Errorf("POST %s: %v", path, got)
			}
		}
	}
	if n := received.Load(); n != 8 {
		t.Errorf("the legacy service received %d requests, want 8", n)
	}
	if n := s.stat(t, "cluster.legacy.upstream_rq_retry"); n == 0 {
		t.Error("no request was retried, so no request was sent to the endpoint without a listener")
	}
}

// TestSentRequestsAreNotRetried: once the legacy service has received a request, it may have had an effect. Only the
// GET of a rule is retried.
func TestSentRequestsAreNotRetried(t *testing.T) {
	rule := *rulesfile.Builtin().Rules[0]
	rule.Methods = []string{"GET", "POST"}
	s := startSystem(t, systemOptions{rules: []*enrich.Rule{&rule}})
	for _, test := range []struct {
		method, path string
		tries        int32
	}{
		{http.MethodGet, "/api/v1/users/7", 2},
		{http.MethodPost, "/api/v1/users/7", 1},
		{http.MethodGet, "/page", 1},
		{http.MethodPost, "/orders", 1},
	} {
		var received atomic.Int32
		s.legacy.answer(test.path, func(c net.Conn, _ *http.Request) bool {
			received.Add(1)
			return reset(c)
		})
		do(t, http1, s.newRequest(t, test.method, test.path))
		if n := received.Load(); n != test.tries {
			t.Errorf("%s %s: the legacy service received it %d times, want %d", test.method, test.path, n, test.tries)
		}
	}
}
