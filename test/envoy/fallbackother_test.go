package envoy_test

import (
	"net"
	"net/http"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// TestHeadersOfMatchingRule: if a request takes the route of one rule and matches another, its headers are changed as
// that one needs.
func TestHeadersOfMatchingRule(t *testing.T) {
	s := startSystem(t, systemOptions{rules: parseRules(t, `version: 1
rules:
  - name: by-number
    match: {path: "/x/{id:int64}"}
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
  - name: by-name
    match: {path: "/x/{id:string}"}
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
`)})
	seen := make(chan http.Header, 1)
	for _, path := range []string{"/x/seven", "/x/9223372036854775808"} {
		s.legacy.answer(path, func(c net.Conn, r *http.Request) bool {
			seen <- r.Header.Clone()
			return raw(chunked(`{"n":1}`))(c, r)
		})
		const want = `{"core":{"n":1},"e":{"v":"none"},"errors":[]}`
		got := s.get(t, path, "if-none-match", `"x"`, "range", "bytes=0-1", "accept-encoding", "gzip")
		if got.Body != want {
			t.Errorf("%s: got %d %s\nwant %s", path, got.Status, got.Body, want)
		}
		checkHeaders(t, path+": the legacy service got",
			[][2]string{{"if-none-match", "-"}, {"range", "-"}, {"accept-encoding", "identity"}}, <-seen)
	}
}

// TestFiltersBeforeFallback: the fallback does not change the local reply of a filter before it.
func TestFiltersBeforeFallback(t *testing.T) {
	rejects := luaFilter(t, `
function envoy_on_request(r)
  local status = r:headers():get("x-reject")
  if status then r:respond({[":status"] = status}, '{"n":1}') end
end`)
	s := startSystem(t, systemOptions{
		filters: []*hcmv3.HttpFilter{rejects},
		rules: parseRules(t, `version: 1
rules:
  - name: thing
    match: {path: "/x/{id:int64}"}
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {param: id}}, fields: {v: {type: string, default: none}}}}
`),
	})
	for _, isUp := range []bool{true, false} {
		if !isUp {
			s.weft.Stop()
		}
		for _, path := range []string{"/x/7", "/x/9223372036854775807"} {
			for _, status := range []string{"200", "401", "503"} {
				checkAnswer(t, status+"\nx-weft: -\n\n"+`{"n":1}`, path, s.get(t, path, "x-reject", status))
			}
		}
	}
}

// luaFilter returns a filter with a script.
func luaFilter(t *testing.T, script string) *hcmv3.HttpFilter {
	t.Helper()
	inline := &corev3.DataSource_InlineString{InlineString: script}
	filter, err := anypb.New(&luav3.Lua{DefaultSourceCode: &corev3.DataSource{Specifier: inline}})
	if err != nil {
		t.Fatal(err)
	}
	return &hcmv3.HttpFilter{Name: "script", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: filter}}
}
