package operations_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"weft/test/harness"
)

// TestOverload freezes MongoDB and sends more requests than --max-waiting-reads. The excess ones get their core
// immediately, with reason overloaded; the others wait. After MongoDB continues, all responses are composed.
func TestOverload(t *testing.T) {
	const waiting, excess, overloaded = 8, 50, "degraded; reason=overloaded"
	s, admin := startSystem(t), freeAddr(t)
	startWeft(t, s, "--max-waiting-reads", "8", "--admin", admin)
	startEnvoy(t, s) // weft waits 18 s for MongoDB
	client := harness.NewClient(false)
	defer client.CloseIdleConnections()
	outcome := func(id int) string {
		answer, err := getUser(client, s, id)
		want, outcome := harness.NewUser(id).WithoutExtension(), answer.Header.Get("X-Weft")
		if outcome == "composed" {
			want = harness.NewUser(id).Composite()
		}
		if err != nil || answer.Status != http.StatusOK || answer.Body != want {
			t.Errorf("user %d: %v, %s", id, err, answer)
		}
		return outcome
	}
	if got := outcome(7); got != "composed" {
		t.Fatalf("x-weft %q", got)
	}

	if err := s.Mongod.Freeze(); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	var rejected, answered atomic.Int64
	for id := range waiting + excess {
		clients.Go(func() {
			if outcome(id) == overloaded {
				rejected.Add(1)
			} else {
				answered.Add(1)
			}
		})
	}
	harness.Eventually(t, "the excess requests have responses", func() bool {
		return rejected.Load() == excess || t.Failed()
	})
	for id := range excess {
		if got := outcome(id); got != overloaded {
			t.Errorf("user %d: x-weft %q", id, got)
		}
	}
	if n := answered.Load(); n != 0 {
		t.Errorf("%d of the waiting requests have responses", n)
	}

	signal(t, s.Mongod.Process, syscall.SIGCONT)
	clients.Wait()
	for id := range excess {
		if got := outcome(id); got != "composed" {
			t.Errorf("after MongoDB continues, user %d: x-weft %q", id, got)
		}
	}
	const want = `disposition="degraded",reason="overloaded",rule="user"} `
	if metrics := page(t, admin+"/metrics"); !strings.Contains(metrics, want) {
		t.Errorf("no reason overloaded in the metrics: %s", metrics)
	}
}
