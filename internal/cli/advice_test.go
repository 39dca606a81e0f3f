package cli

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"weft/internal/rulesfile"
)

// TestIndexAdviceEndsWithItsRules: while MongoDB is unavailable, only the rules in use wait for it, however often they
// were reloaded.
func TestIndexAdviceEndsWithItsRules(t *testing.T) {
	c := newConnecting(t, "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=60000", "")
	if err := c.connectMongoDB(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		c.applyRules(t.Context(), rulesfile.Builtin())
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		waiting := bytes.Count(stacks, []byte("(*server).adviseIndexes("))
		if waiting == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines wait for an index, want 1:\n%s", waiting, stacks)
		}
		runtime.Gosched()
	}
}
