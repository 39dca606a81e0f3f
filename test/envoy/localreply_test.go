package envoy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	rbacv3 "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbacfilterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/test/harness"
)

// TestLocalReplyOfUpstreamFailure: if the legacy service does not answer, the client gets the same, whatever Envoy's
// reason is.
func TestLocalReplyOfUpstreamFailure(t *testing.T) {
	want := "200\nx-weft: degraded; reason=legacy-unreachable\ncache-control: no-store\n\n" + withoutCore(7)
	for _, test := range []struct {
		name   string
		change func(legacy *clusterv3.Cluster)
	}{
		{"no healthy upstream", func(c *clusterv3.Cluster) { c.LoadAssignment.Endpoints = nil }},
		{"overflow", func(c *clusterv3.Cluster) {
			limits := c.GetCircuitBreakers().GetThresholds()[0]
			limits.MaxConnections, limits.MaxPendingRequests = wrapperspb.UInt32(0), wrapperspb.UInt32(0)
		}},
		{"connect timeout", func(c *clusterv3.Cluster) {
			setPort(c.GetLoadAssignment(), deafPort(t))
			c.ConnectTimeout = durationpb.New(100 * time.Millisecond)
		}},
		{"nothing listens", func(c *clusterv3.Cluster) {
			port, err := harness.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			setPort(c.GetLoadAssignment(), port)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startSystem(t, systemOptions{change: func(b *bootstrapv3.Bootstrap) {
				test.change(b.GetStaticResources().GetClusters()[0])
			}})
			for _, route := range routes {
				for _, p := range []protocol{http1, http2} {
					t.Run(route.name+" over "+p.String(), func(t *testing.T) {
						checkAnswer(t, want, "", do(t, p, s.newRequest(t, http.MethodGet, route.path+"/7")))
					})
				}
			}
			s.checkIdle(t)
		})
	}
}

func setPort(a *endpointv3.ClusterLoadAssignment, port int) {
	address := a.GetEndpoints()[0].GetLbEndpoints()[0].GetEndpoint().GetAddress().GetSocketAddress()
	address.PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: uint32(port)}
}

// deafPort returns a port whose listener never accepts. Its queue is full, so that the kernel answers no SYN any more.
func deafPort(t *testing.T) int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	for { // until the queue is full
		c, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 500*time.Millisecond)
		if err != nil {
			return port
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

// TestLocalReplyBeforeWeft: Envoy's local replies to requests that have not reached weft pass on both routes. For weft,
// such an exchange begins with response headers.
func TestLocalReplyBeforeWeft(t *testing.T) {
	policy, err := anypb.New(&rbacfilterv3.RBAC{Rules: &rbacv3.RBAC{Action: rbacv3.RBAC_ALLOW}}) // nobody
	if err != nil {
		t.Fatal(err)
	}
	s := startSystem(t, systemOptions{filters: []*hcmv3.HttpFilter{{
		Name:       "envoy.filters.http.rbac",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: policy},
	}}})
	for _, route := range routes {
		t.Run("RBAC on "+route.name, func(t *testing.T) {
			for _, p := range []protocol{http1, http2} {
				got := do(t, p, s.newRequest(t, http.MethodGet, route.path+"/7"))
				checkAnswer(t, "403\ncontent-length: 19\ncontent-type: text/plain\n\nRBAC: access denied", "", got)
			}
		})
		t.Run("no Host on "+route.name, func(t *testing.T) {
			c, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := fmt.Fprintf(c, "GET %s/7 HTTP/1.1\r\n\r\n", route.path); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusBadRequest || len(body) != 0 {
				t.Errorf("%v, %d %q", err, resp.StatusCode, body)
			}
		})
	}
	s.checkIdle(t)
}

// TestLocalReplyFormat: the message of a rule is no format of Envoy's, whatever it has in it.
func TestLocalReplyFormat(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, `version: 1
rules:
  - name: thing
    match: {path: /thing}
    degrade: always
    messages: {both_failed: "100 % down: %REQ(:PATH)% \"%%\""}
    extensions: {e: {database: d, collection: c, where: {id: {value: 1}}, fields: {v: {type: string, default: none}}}}
`)})
	s.weft.Stop()
	s.legacy.stop()
	defer s.legacy.start()
	checkAnswer(t, "503\ncontent-type: application/json\nx-weft: degraded; reason=legacy-unreachable\n\n"+
		`{"detail":"100 % down: %REQ(:PATH)% \"%%\""}`, "", s.get(t, "/thing"))
}
