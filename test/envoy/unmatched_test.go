package envoy_test

import "testing"

// TestUnmatchedPathCallsNothing: on a path without a rule Envoy calls neither weft nor Lua.
func TestUnmatchedPathCallsNothing(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.legacy.answer("/api/v1/orders", raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]"))
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	for range 10 {
		s.get(t, "/api/v1/orders")
	}
	started, scripts := s.stat(t, "http.main.ext_proc.streams_started"), s.stat(t, "http.main.lua.executions")
	if started != 0 || scripts != 0 {
		t.Errorf("%d exchanges, %d scripts for requests without a rule", started, scripts)
	}
	s.get(t, "/api/v3/composite-profile/7")
	started, scripts = s.stat(t, "http.main.ext_proc.streams_started"), s.stat(t, "http.main.lua.executions")
	if started != 1 || scripts == 0 {
		t.Errorf("%d exchanges, %d scripts for one request: these statistics show nothing", started, scripts)
	}
}
