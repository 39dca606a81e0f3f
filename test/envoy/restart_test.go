package envoy_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// TestWeftComesAndGoes stops and starts weft, abruptly and again and again, under clients who keep asking. Each answer
// is whole: a composite, the composite without an extension, or on v1 the legacy user; nothing else.
func TestWeftComesAndGoes(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	extension := `,"extension":{"userId":7,"tags":[],"lastActivityScore":0.0,"customSettings":{}},"errors":[]}`
	without := `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
	allowed := map[string]map[string]string{
		"v1": {"composed": `{"core":` + coreUser7 + extension, "without": `{"core":` + coreUser7 + without, "passed": coreUser7},
		"v3": {"composed": `{"core":` + coreUser7 + extension, "without": `{"core":` + coreUser7 + without},
	}

	const restarts, clients = 20, 16
	var over atomic.Bool
	var mu sync.Mutex
	counts := map[string]int{}
	var asking sync.WaitGroup
	for i := range clients {
		route := routes[i%len(routes)]
		protocols := http1()
		if i%4 >= 2 {
			protocols = http2()
		}
		asking.Go(func() {
			for !over.Load() && !t.Failed() {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+route.path+"/7", http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := s.try(protocols, req)
				kind := "wrong"
				for name, body := range allowed[route.name] {
					if err == nil && got.status == http.StatusOK && got.body == body {
						kind = name
					}
				}
				if kind == "wrong" {
					t.Errorf("%s: %v, %d %q %v", route.name, err, got.status, got.body, got.header)
				}
				mu.Lock()
				counts[kind]++
				mu.Unlock()
			}
		})
	}
	answered := func(kind string) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[kind]
	}
	for i := range restarts {
		before := answered("composed")
		eventually(t, fmt.Sprintf("start %d: composites", i), func() bool { return answered("composed") > before+clients || t.Failed() })
		s.weft.Stop()
		before = answered("passed")
		eventually(t, fmt.Sprintf("stop %d: legacy answers", i), func() bool { return answered("passed") > before || t.Failed() })
		s.startWeft("unix:"+s.socket, s.rules, mongod.URI())
	}
	over.Store(true)
	asking.Wait()
	t.Logf("%d restarts: %v", restarts, counts)
	s.checkIdle(t)
}
