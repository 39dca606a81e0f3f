package harness

import (
	"context"
	"testing"
	"time"
)

// timeout is far longer than anything that tests wait for, even on a busy machine.
const timeout = 30 * time.Second

// Eventually fails the test if condition does not become true in time.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", timeout, what)
		}
	}
}

// ExpectLog fails the test if no log line contains text in time. See [Process.AwaitLog].
func ExpectLog(t testing.TB, p *Process, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	if err := p.AwaitLog(ctx, text); err != nil {
		t.Fatal(err)
	}
}
