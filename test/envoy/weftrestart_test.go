package envoy_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/test/harness"
)

// TestWeftRestartsUnderLoad stops weft abruptly and starts it again, many times, under load. Each answer is a
// composite, one without the extension or, on v1, the legacy response.
func TestWeftRestartsUnderLoad(t *testing.T) {
	s, user := startSystem(t, systemOptions{}), harness.NewUser(7)
	s.legacy.answer("/api/v1/users/7", raw(chunked(user.Core)))
	document, err := bson.Marshal(user.Document())
	if err != nil {
		t.Fatal(err)
	}
	s.setProfiles(document)

	const restarts, clients = 20, 16
	var mu sync.Mutex
	counts := map[harness.Kind]int{}
	count := func(k harness.Kind) int {
		mu.Lock()
		defer mu.Unlock()
		return counts[k]
	}
	load := harness.StartLoad(clients, func(client *http.Client, number int) bool {
		route := routes[number%len(routes)]
		got, err := harness.Do(client, s.newRequest(t, http.MethodGet, route.path+"/7"))
		kind := user.Kind(got)
		isLegacy := kind == harness.Passed && route.name == "v1"
		isComposite := kind == harness.Composed || kind == harness.Degraded && got.Body == user.WithoutExtension()
		if err != nil || !isLegacy && !isComposite {
			t.Errorf("%s: %v, %s", route.name, err, got)
		}
		mu.Lock()
		defer mu.Unlock()
		counts[kind]++
		return !t.Failed()
	})
	defer load.Stop()
	for i := range restarts {
		before := count(harness.Composed)
		harness.Eventually(t, fmt.Sprintf("start %d: composites", i), func() bool {
			return count(harness.Composed) > before+clients || t.Failed()
		})
		s.weft.Stop()
		before = count(harness.Passed)
		harness.Eventually(t, fmt.Sprintf("stop %d: legacy responses", i), func() bool {
			return count(harness.Passed) > before || t.Failed()
		})
		s.startWeft(mongod.URI())
	}
	load.Stop()
	t.Logf("%d restarts: %v", restarts, counts)
	s.checkIdle(t)
}
