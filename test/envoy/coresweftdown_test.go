package envoy_test

import (
	"net"
	"net/http"
	"testing"
)

// TestCoresWhileWeftEnds: weft ends after it has added conditions to a request. The legacy service confirms the core
// that weft had kept, but the client, which does not have it, must not get the 304.
func TestCoresWhileWeftEnds(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, coresRules)})
	const core = `{"userId":7,"v":1}`
	s.legacy.answer("/cached/7", raw("HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 18\r\n\r\n"+core))
	composed := "200\nx-weft: composed\n\n" + `{"core":` + core + `,"extension":{"tags":[]},"errors":[]}`
	checkAnswer(t, composed, "", s.get(t, "/cached/7"))
	s.legacy.answer("/cached/7", func(c net.Conn, r *http.Request) bool {
		if r.Header.Get("If-None-Match") != `"1"` {
			t.Errorf("if-none-match: %q", r.Header.Get("If-None-Match"))
		}
		s.weft.Stop()
		return raw("HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n")(c, r)
	})
	down := "503\nx-weft: degraded; reason=weft-unavailable\ncache-control: no-store\ncontent-type: application/json" +
		"\n\n" + `{"detail":"All upstream services are unavailable."}`
	checkAnswer(t, down, "", s.get(t, "/cached/7"))

	// While weft is down, the client's own conditions do not reach the legacy service, which would apply them to its
	// own response.
	s.legacy.answer("/cached/7", func(c net.Conn, r *http.Request) bool {
		if r.Header.Get("If-None-Match") != "" {
			t.Errorf("if-none-match: %q", r.Header.Get("If-None-Match"))
		}
		return raw("HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n"+core)(c, r)
	})
	checkAnswer(t, "200\nx-weft: -\n\n"+core, "", s.get(t, "/cached/7", "if-none-match", `"composite"`))
}
