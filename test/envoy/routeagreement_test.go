package envoy_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestRouteOfAnotherRule: Envoy's routes match more than the rules do. If a request takes the route of one rule, which
// has a legacy_path, and matches another rule or none, the response passes.
func TestRouteOfAnotherRule(t *testing.T) {
	for _, others := range []int{0, 50} { // a list of routes, and a tree
		t.Run(fmt.Sprintf("%d other rules", others), func(t *testing.T) { testRouteOfAnotherRule(t, others) })
	}
}

func testRouteOfAnotherRule(t *testing.T, others int) {
	var more strings.Builder
	for i := range others {
		fmt.Fprintf(&more, `  - name: other-%d
    match: {path: "/other%d/{id:int64}"}
    extensions: {x: {database: d, collection: c, where: {key: {param: id}}, fields: {v: {type: string, default: none}}}}
`, i, i)
	}
	rules := parseRules(t, `version: 1
rules:
`+more.String()+`  - name: by-number
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
      x:
        database: d
        collection: c
        where: {key: {param: id}, tenant: {param: tenant}}
        fields: {v: {type: string, default: none}}
  - name: of-all
    match: {path: "/q/{id:int64}"}
    extensions: *none
  - name: number-as-it-is
    match: {path: "/y/{id:int64}"}
    extensions: *none
  - name: then-name
    match: {path: "/y/{id:string}"}
    legacy_path: /name/{id}
    extensions: *none
  - name: exact
    match: {path: /q}
    extensions:
      x: {database: d, collection: c, where: {key: {value: 1}}, fields: {v: {type: string, default: none}}}
`)
	s := startSystem(t, systemOptions{rules: rules})
	for _, path := range []string{
		"/number/7", "/name/seven", "/number/9223372036854775808", "/name/a%20b", "/y/7", "/y/9223372036854775808",
		"/number/a%20b", "/tenant/7", "/q/7", "/q", "/qq", "/other7/1", "/other7/x", "/nothing",
	} {
		s.legacy.answer(path, raw(withLength(fmt.Sprintf(`{"at":%q}`, path), "")))
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
		{"GET", "/y/7", composite("/y/7")},
		{"GET", "/y/seven", composite("/name/seven")},
		{"GET", "/y/9223372036854775808", `{"at":"/y/9223372036854775808"}`},
		{"GET", "/q/7", composite("/q/7")},
		{"GET", "/q", composite("/q")},
		{"GET", "/q?a=/b", composite("/q")},
		{"GET", "/qq", `{"at":"/qq"}`},
		{"GET", "/nothing", `{"at":"/nothing"}`},
		{"GET", "/other7/x", `{"at":"/other7/x"}`},
		{"GET", "/q/7?tenant=a", composite("/tenant/7")},
		{"GET", "/q/7?tenant=a&tenant=b", `{"at":"/tenant/7"}`},
		{"GET", "/q/7?tenant=", `{"at":"/tenant/7"}`},
	} {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			if got := do(t, http1, s.newRequest(t, test.method, test.path)); got.Body != test.want {
				t.Errorf("\n got %d %s\nwant %s", got.Status, got.Body, test.want)
			}
		})
	}
}
