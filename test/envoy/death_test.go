package envoy_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestWeftDiesInTheMiddle ends weft while it holds the body of a response. Envoy has the body still, and the client gets
// what it would get without weft.
func TestWeftDiesInTheMiddle(t *testing.T) {
	for _, route := range routes {
		for name, protocols := range map[string]*http.Protocols{"HTTP 1": http1(), "HTTP 2": http2()} {
			for length, response := range map[string]string{
				"known":   "HTTP/1.1 200 OK\r\ncontent-length: 55\r\n\r\n" + coreUser7,
				"unknown": legacyUser7,
			} {
				t.Run(route.name+" "+name+" length "+length, func(t *testing.T) {
					release := make(chan struct{})
					s := startSystem(t, systemOptions{mongodbURI: startMongoProxy(t, func() { <-release }).uri})
					defer sync.OnceFunc(func() { close(release) })()
					s.legacy.answer("/api/v1/users/7", raw(response))
					got := make(chan answer)
					go func() {
						req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+route.path+"/7", http.NoBody)
						if err != nil {
							t.Error(err)
						}
						got <- s.doWith(t, protocols, req)
					}()
					eventually(t, "weft waits for MongoDB", func() bool { return strings.Contains(goroutines(t), "enrich.(*Read).Await") })
					s.weft.Stop()
					want := "200\nx-weft: -\n\n" + coreUser7
					if route.name == "v3" {
						want = "200\nx-weft: degraded; reason=weft-unavailable\n\n" +
							`{"core":` + coreUser7 + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
					}
					checkAnswer(t, want, "", <-got)
				})
			}
		}
	}
}
