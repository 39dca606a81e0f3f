package envoy_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"weft/envoy"
)

// TestTrustedHops: each trusted proxy in front of Envoy has appended an entry to x-forwarded-for. With one, the last
// entry is the client's address, and the scheme is that in x-forwarded-proto.
func TestTrustedHops(t *testing.T) {
	for _, test := range []struct {
		hops            uint32
		scheme, address string // empty address: that of this machine
	}{
		{0, "http", ""},
		{1, "https", "203.0.113.9"},
		{2, "https", "198.51.100.1"},
	} {
		s := startSystem(t, systemOptions{config: func(c *envoy.Config) { c.TrustedHops = test.hops }})
		var got http.Header
		s.legacy.answer("/page", func(c net.Conn, r *http.Request) bool {
			got = r.Header
			return raw(withLength("hello", ""))(c, r)
		})
		s.get(t, "/page", "x-forwarded-for", "198.51.100.1, 203.0.113.9", "x-forwarded-proto", "https",
			"x-envoy-retry-on", "5xx")
		f := got.Get("x-forwarded-for")
		if !strings.HasPrefix(f, "198.51.100.1, 203.0.113.9,") || strings.Count(f, ",") != 2 {
			t.Errorf("%d hops: x-forwarded-for %q, want one address more", test.hops, f)
		}
		if address := got.Get("x-envoy-external-address"); test.address != "" && address != test.address {
			t.Errorf("%d hops: x-envoy-external-address %q, want %q", test.hops, address, test.address)
		}
		if scheme := got.Get("x-forwarded-proto"); scheme != test.scheme {
			t.Errorf("%d hops: x-forwarded-proto %q, want %q", test.hops, scheme, test.scheme)
		}
		if got.Get("x-envoy-retry-on") != "" {
			t.Errorf("%d hops: the legacy service got the client's x-envoy-retry-on", test.hops)
		}
	}
}

// TestNormalizedPaths: with Config.NormalizePaths the route is selected by the normalized path. Without it, all paths
// pass unchanged: see TestTransparency.
func TestNormalizedPaths(t *testing.T) {
	s := startSystem(t, systemOptions{config: func(c *envoy.Config) { c.NormalizePaths = true }})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	for _, path := range []string{
		"/api/v1/users/x/../7", "/api/v1/users/x/%2e%2e/7", "/api/v1//users///7", "/api/v1/users/%37",
	} {
		answer := do(t, http1, s.newRequest(t, http.MethodGet, path))
		checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", answer)
	}
	answer := s.get(t, "/api/v1/users%2F7")
	checkAnswer(t, "307\nlocation: /api/v1/users/7", "", answer)
}
