package envoy_test

import (
	"net/http"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
)

const othersRules = `version: 1
rules:
  - name: moved
    match: {path: "/v3/users/{id:int64}"}
    legacy_path: "/v1/users/{id}"
    degrade: always
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
  - name: host
    match: {path: "/host/{id:int64}", host: "*.eu.example.com"}
    degrade: always
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
  - name: query
    match: {path: "/query/{id:int64}", query: {view: {value: full}, n: {type: int64}}}
    degrade: always
    extensions:
      e:
        {database: d, collection: c, where: {id: {param: id}, n: {param: n}}, fields: {v: {type: string, default: "-"}}}
  - name: never
    match: {path: "/never/{id:int64}"}
    degrade: never
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
`

// TestLocalRepliesOfOtherRequests: Envoy's local replies to requests that no rule matches, or whose rule never
// degrades, do not change, with and without weft.
func TestLocalRepliesOfOtherRequests(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, othersRules), change: func(b *bootstrapv3.Bootstrap) {
		b.GetStaticResources().GetClusters()[0].LoadAssignment.Endpoints = nil
	}})
	const plain = "503\nx-weft: -\ncache-control: -\n\nno healthy upstream"
	const replaced = "503\nx-weft: degraded; reason=legacy-unreachable\ncache-control: no-store\n\n" +
		`{"detail":"All upstream services are unavailable."}`
	get := func(host, target, want string) {
		t.Helper()
		req := s.newRequest(t, http.MethodGet, target)
		req.Host = host
		checkAnswer(t, want, "", do(t, http1, req))
	}
	others := func() {
		t.Helper()
		get("a", "/v1/users/7", plain)
		get("us.example.com", "/host/7", plain)
		get("eu.example.com", "/host/7", plain)
		get("a", "/query/7", plain)
		get("a", "/query/7?n=1&view=brief", plain)
		get("a", "/query/7?view=full&n=x", plain)
		get("a", "/query/7?view=fully&n=1", plain)
		get("a", "/other", plain)
	}
	others()
	get("a", "/never/7", "503\nx-weft: passed; reason=not-degraded\ncache-control: -\n\nno healthy upstream")
	s.weft.Stop()
	others()
	get("a", "/never/7", plain)
	get("a", "/v3/users/7", replaced)
	get("DE.eu.example.com:8080", "/host/7", replaced)
	get("a", "/query/7?n=-1&view=full", replaced)
	get("a", "/query/7?a=b&view=full&c&n=1&", replaced)
}
