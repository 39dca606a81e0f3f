package envoy_test

import (
	"fmt"
	"net/http"
	"testing"
)

// TestRouteAndRuleAgree: Envoy's routes cannot tell all that rules can. Where a route has chosen the core of one rule, and the
// request falls under another, the response passes.
func TestRouteAndRuleAgree(t *testing.T) {
	rules := parseRules(t, `version: 1
rules:
  - name: by-number
    match: {path: "/v3/{id:int64}"}
    legacy_path: /number/{id}
    extensions: &none
      x: {database: d, collection: c, where: {key: {param: id}}, fields: {v: {type: string, default: none}}}
  - name: by-name
    match: {path: "/v3/{id:string}"}
    legacy_path: /name/{id}
    extensions: *none
  - name: of-a-tenant
    match: {path: "/q/{id:int64}", query: {tenant: {type: string}}}
    legacy_path: /tenant/{id}
    extensions:
      x: {database: d, collection: c, where: {key: {param: id}, tenant: {param: tenant}}, fields: {v: {type: string, default: none}}}
  - name: of-all
    match: {path: "/q/{id:int64}"}
    extensions: *none
`)
	s := startSystem(t, systemOptions{rules: rules})
	for _, r := range rules {
		for _, src := range r.Sources {
			src.Database, src.Collection = s.profiles.Database().Name(), s.profiles.Name()
		}
	}
	for _, path := range []string{
		"/number/7", "/name/seven", "/number/9223372036854775808", "/name/a%20b", "/number/a%20b", "/tenant/7", "/q/7",
	} {
		s.legacy.answer(path, raw(fmt.Sprintf("HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n{\"at\":%q}", len(path)+9, path)))
	}
	composite := func(path string) string {
		return `{"core":{"at":"` + path + `"},"x":{"v":"none"},"errors":[]}`
	}
	for _, test := range []struct{ method, path, want string }{
		{"GET", "/v3/7", composite("/number/7")},
		{"GET", "/v3/seven", composite("/name/seven")},
		{"GET", "/v3/9223372036854775808", `{"at":"/number/9223372036854775808"}`},
		{"GET", "/v3/a%20b", `{"at":"/number/a%20b"}`},
		{"DELETE", "/v3/7", `{"at":"/number/7"}`},
		{"GET", "/q/7", composite("/q/7")},
		{"GET", "/q/7?tenant=a", composite("/tenant/7")},
		{"GET", "/q/7?tenant=a&tenant=b", `{"at":"/tenant/7"}`},
		{"GET", "/q/7?tenant=", `{"at":"/tenant/7"}`},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), test.method, s.url+test.path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if got := s.doWith(t, http1(), req); got.body != test.want {
				t.Errorf("\n got %d %s\nwant %s", got.status, got.body, test.want)
			}
		})
	}
}
