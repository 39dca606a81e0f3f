package envoy_test

import (
	"net"
	"net/http"
	"testing"

	"weft/internal/rulesfile"
)

// TestContentTypeOfRule: each response of weft, the fallback or Envoy for a rule has the content type of the rule.
func TestContentTypeOfRule(t *testing.T) {
	rules := rulesfile.Builtin().Rules
	const v2 = "application/vnd.shop.v2+json;charset=UTF-8"
	for _, r := range rules {
		r.ContentType = v2
	}
	s := startSystem(t, systemOptions{rules: rules})
	const path = "/api/v3/composite-profile/7"
	const unavailable = `{"detail":"All upstream services are unavailable."}`
	check := func(want string) {
		t.Helper()
		answer := s.get(t, path)
		checkAnswer(t, want, "", answer)
		if got := answer.Header.Get("content-type"); got != v2 {
			t.Errorf("content-type %q, want %q", got, v2)
		}
	}
	serve := func(response string, end func(net.Conn) bool) {
		s.legacy.answer("/api/v1/users/7", func(c net.Conn, r *http.Request) bool {
			return raw(response)(c, r) && (end == nil || end(c))
		})
	}
	serve(legacyUser7, nil)
	check("200\nx-weft: composed\n\n" + compositeUser7)
	serve("HTTP/1.1 500 Oh\r\ncontent-type: text/html\r\ncontent-length: 2\r\n\r\noh", nil)
	check("200\nx-weft: degraded; reason=legacy-error\n\n" + withoutCore(7))
	serve(legacyUser7[:len(legacyUser7)-5], reset) // a local reply of Envoy
	check("503\nx-weft: degraded; reason=legacy-unreachable\n\n" + unavailable)

	s.weft.Stop() // responses of the fallback
	serve(legacyUser7, nil)
	check("200\nx-weft: degraded; reason=weft-unavailable\n\n" + degradedUser7)
	serve("HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\noh", nil)
	check("503\nx-weft: degraded; reason=weft-unavailable\n\n" + unavailable)
}
