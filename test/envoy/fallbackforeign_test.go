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

// TestConditionsOfAnothersRoute: a request that came by the route of one rule, and falls under another, is changed for that one, although the
// other's route would have changed it.
func TestConditionsOfAnothersRoute(t *testing.T) {
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
	for _, r := range s.rules {
		for _, src := range r.Sources {
			src.Database, src.Collection = s.profiles.Database().Name(), s.profiles.Name()
		}
	}
	seen := make(chan http.Header, 1)
	for _, path := range []string{"/x/seven", "/x/9223372036854775808"} {
		s.legacy.answer(path, func(c net.Conn, r *http.Request) bool {
			seen <- r.Header.Clone()
			return raw(chunked(`{"n":1}`))(c, r)
		})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("if-none-match", `"x"`)
		req.Header.Set("range", "bytes=0-1")
		req.Header.Set("accept-encoding", "gzip")
		const want = `{"core":{"n":1},"e":{"v":"none"},"errors":[]}`
		if got := s.doWith(t, http1(), req); got.body != want {
			t.Errorf("%s: got %d %s\nwant %s", path, got.status, got.body, want)
		}
		checkHeaders(t, path+": the legacy service got", [][2]string{{"if-none-match", "-"}, {"range", "-"}, {"accept-encoding", "identity"}}, <-seen)
	}
}

// TestFiltersBeforeFallback: what a filter before weft's answers is that filter's, by each route of a rule.
func TestFiltersBeforeFallback(t *testing.T) {
	filter, err := anypb.New(&luav3.Lua{DefaultSourceCode: &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: `
function envoy_on_request(r)
  local status = r:headers():get("refuse")
  if status then r:respond({[":status"] = status}, '{"n":1}') end
end`}}})
	if err != nil {
		t.Fatal(err)
	}
	s := startSystem(t, systemOptions{
		filters: []*hcmv3.HttpFilter{{Name: "refuses", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: filter}}},
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
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("refuse", status)
				got := s.doWith(t, http1(), req)
				checkAnswer(t, status+"\nx-weft: -\n\n"+`{"n":1}`, path, got)
			}
		}
	}
}
