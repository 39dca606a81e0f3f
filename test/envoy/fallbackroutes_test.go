package envoy_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestFallbackRoutes: the fallback applies to the requests that match a rule, and to no others that take its route.
func TestFallbackRoutes(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, `version: 1
rules:
  - name: by-number
    match: {path: "/n/{id:int64}", methods: [GET, POST]}
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
  - name: by-name
    match: {path: "/s/{id:string}.json"}
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
  - name: by-key
    match: {path: "/k/{id:objectid}/{_of:uuid-java}"}
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
  - name: one
    match: {path: /one}
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {value: 1}}, fields: {v: {type: string, default: none}}}}
`)})
	const key = "/0123456789abcdef01234567/01234567-89ab-cdef-0123-456789abcdef"
	tests := []struct {
		request string
		joins   bool
	}{
		{"GET /n/0", true},
		{"GET /n/-7?a=/b", true},
		{"GET /n/999999999999999999", true},
		{"GET /n/9223372036854775807", true},
		{"GET /n/-9223372036854775808", true},
		{"POST /n/7", true},
		{"GET /n/9223372036854775808", false},
		{"GET /n/-9223372036854775809", false},
		{"GET /n/-0", false},
		{"GET /n/007", false},
		{"GET /n/", false},
		{"DELETE /n/7", false},
		{"GET /s/a.json", true},
		{"GET /s/.a.json", true},
		{"GET /s/..a.json", true},
		{"GET /s/....json", true},
		{"GET /s/..json", false},
		{"GET /s/...json", false},
		{"GET /s/.json", false},
		{"GET /s/a%20b.json", false},
		{"GET /k" + key, true},
		{"GET /k" + strings.ToUpper(key), true},
		{"GET /k" + key + "0", false},
		{"GET /one", true},
		{"GET /one?", true},
		{"GET /one/", false},
	}
	const core, both = `{"n":1}`, `{"core":{"n":1},"e":{"v":"none"},"errors":[]}`
	half := map[string]string{"GET": `{"core":{"n":1},"e":null,"errors":["Failed to fetch e."]}`, "POST": core}
	for _, isUp := range []bool{true, false} {
		if !isUp {
			s.weft.Stop()
		}
		for _, test := range tests {
			method, target, _ := strings.Cut(test.request, " ")
			path, _, _ := strings.Cut(target, "?")
			s.legacy.answer(path, raw(chunked(core)))
			want := core
			switch {
			case test.joins && isUp:
				want = both
			case test.joins:
				want = half[method]
			}
			if got := do(t, http1, s.newRequest(t, method, target)); got.Status != http.StatusOK || got.Body != want {
				t.Errorf("%s, weft up: %t\n got %d %s\nwant 200 %s", test.request, isUp, got.Status, got.Body, want)
			}
		}
	}
	s.legacy.answer("/n/7", raw("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"))
	const head = "HEAD /n/7 HTTP/1.1\nhost: x"
	for _, answer := range s.pipeline(t, head, head+"\nconnection: close") { // a body would be read as the next response
		checkAnswer(t, "200\nx-weft: -\ncontent-length: 7", "", answer)
	}
}

// TestConditionsOfPost: the conditions of a POST reach the legacy service by the same route on which those of a GET are
// removed, whether weft is up or not.
func TestConditionsOfPost(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, `version: 1
rules:
  - name: thing
    match: {path: "/thing/{id:int64}", methods: [GET, POST]}
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
`)})
	seen := make(chan http.Header, 1)
	paths := []string{"/thing/7", "/thing/9223372036854775807"}
	for _, path := range paths {
		s.legacy.answer(path, func(c net.Conn, r *http.Request) bool {
			seen <- r.Header.Clone()
			return raw(chunked(`{"n":1}`))(c, r)
		})
	}
	for _, isUp := range []bool{true, false} {
		if !isUp {
			s.weft.Stop()
		}
		for i, method := range []string{"GET", "POST", "GET", "POST"} {
			condition := map[string]string{"GET": "-", "POST": `"x"`}[method]
			do(t, http1, s.newRequest(t, method, paths[i/2],
				"if-none-match", `"x"`, "if-match", `"x"`, "accept-encoding", "gzip"))
			checkHeaders(t, method+": the legacy service got",
				[][2]string{
					{"if-none-match", condition},
					{"if-match", condition},
					{"accept-encoding", "identity"},
					{"x-weft-if-none-match", "-"},
				}, <-seen)
		}
	}
}
