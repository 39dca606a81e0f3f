package envoy_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestMergeKeepsStatusAndType: an answer in shape merge is the legacy response with more members. Its status, its
// headers and its content type with parameters stay, also if the extension is missing.
func TestMergeKeepsStatusAndType(t *testing.T) {
	rules := parseRules(t, `version: 1
rules:
  - name: user
    match: {path: "/users/{id:int64}", methods: [GET, POST]}
    core: {fields: {userId: int64}, verify: {userId: id}}
    shape: merge
    extensions:
      extension:
        database: d
        collection: c
        where: {userId: {param: id}}
        fields: {tags: {type: strings, default: []}}
`)
	s := startSystem(t, systemOptions{rules: rules})
	const contentType = "application/vnd.shop.v2+json;charset=UTF-8"
	for name, userID := range map[string]string{"composed": "7", "degraded; reason=key-mismatch": "8"} {
		for _, status := range []string{"200 OK", "201 Created", "202 Accepted", "203 Non-Authoritative Information"} {
			core := `{"userId":` + userID + `}`
			s.legacy.answer("/users/7", raw("HTTP/1.1 "+status+"\r\ncontent-type: "+contentType+
				"\r\nlocation: /users/7\r\ncontent-length: 12\r\n\r\n"+core))
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				got := do(t, http1, s.newRequest(t, method, "/users/7"))
				if http.StatusText(got.Status) != status[4:] || got.Header.Get("X-Weft") != name ||
					got.Header.Get("Content-Type") != contentType || got.Header.Get("Location") != "/users/7" ||
					!strings.HasPrefix(got.Body, core[:len(core)-1]+`,"extension":`) {
					t.Errorf("%s of %s: %d %v %s", method, status, got.Status, got.Header, got.Body)
				}
			}
		}
	}
}
