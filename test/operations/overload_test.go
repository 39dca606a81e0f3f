package operations_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
)

// TestOverload freezes MongoDB under more clients than reads may wait for it. Those beyond get their core at once, with a
// reason of its own, while the others wait; and when MongoDB goes on, all are whole again.
func TestOverload(t *testing.T) {
	const waiting, beyond = 8, 50
	w := startWorld(t)
	at, admin := socket(t), freePort(t)
	startServer(t, "--listen", at, "--mongodb-uri", w.mongod.URI(), "--max-waiting-reads", "8", "--admin", admin)
	w.startEnvoy(t, "--weft", at) // weft waits 18 s for MongoDB
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	outcome := func(id int) string {
		status, body, outcome, err := w.ask(client, id)
		switch {
		case err != nil || status != http.StatusOK:
			t.Errorf("user %d: %v, %d", id, err, status)
		case outcome == "composed" && body != composite(id), outcome != "composed" && body != withoutExtension(id):
			t.Errorf("user %d, x-weft %q: %s", id, outcome, body)
		}
		return outcome
	}
	if got := outcome(7); got != "composed" {
		t.Fatalf("x-weft %q", got)
	}

	if err := w.mongod.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.mongod.Signal(syscall.SIGCONT) })
	var asking sync.WaitGroup
	var refused, answered atomic.Int64
	for id := range waiting + beyond {
		asking.Go(func() {
			if outcome(id%users) == "degraded; reason=overloaded" {
				refused.Add(1)
			} else {
				answered.Add(1)
			}
		})
	}
	eventually(t, "those for whom there is no place are answered", func() bool { return refused.Load() == beyond || t.Failed() })
	for id := range beyond {
		if got := outcome(id); got != "degraded; reason=overloaded" {
			t.Errorf("user %d: x-weft %q", id, got)
		}
	}
	if n := answered.Load(); n != 0 {
		t.Errorf("%d of those who wait have been answered", n)
	}

	if err := w.mongod.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	asking.Wait()
	for id := range beyond {
		if got := outcome(id); got != "composed" {
			t.Errorf("MongoDB goes on, user %d: x-weft %q", id, got)
		}
	}
	if metrics := page(t, admin+"/metrics"); !strings.Contains(metrics, `disposition="degraded",reason="overloaded",rule="user"} `) {
		t.Errorf("the metrics do not say it: %s", metrics)
	}
}
