package envoy_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"weft/test/harness"
)

// TestWeftEndsWhileHoldingBody ends weft while it has the body of a response. Envoy still has it, too, and the client
// gets what it would get without weft.
func TestWeftEndsWhileHoldingBody(t *testing.T) {
	for _, route := range routes {
		for _, p := range []protocol{http1, http2} {
			for length, response := range map[string]string{
				"known":   withLength(coreUser7, ""),
				"unknown": legacyUser7,
			} {
				t.Run(route.name+" "+p.String()+" length "+length, func(t *testing.T) {
					release := make(chan struct{})
					s := startSystem(t, systemOptions{mongodbURI: startMongoProxy(t, func() { <-release })})
					defer sync.OnceFunc(func() { close(release) })()
					s.legacy.answer("/api/v1/users/7", raw(response))
					got, req := make(chan harness.Answer), s.newRequest(t, http.MethodGet, route.path+"/7")
					go func() {
						answer, err := try(p, req)
						if err != nil {
							t.Error(err)
						}
						got <- answer
					}()
					harness.Eventually(t, "weft waits for MongoDB", func() bool {
						return strings.Contains(goroutines(t), "enrich.(*Read).Await")
					})
					s.weft.Stop()
					want := "200\nx-weft: -\n\n" + coreUser7
					if route.name == "v3" {
						want = "200\nx-weft: degraded; reason=weft-unavailable\n\n" + degradedUser7
					}
					checkAnswer(t, want, "", <-got)
				})
			}
		}
	}
}
