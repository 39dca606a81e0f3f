package mongostore

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"weft/enrich"
	"weft/test/harness"
	"weft/test/storetest"
)

// TestCloseEndsReads closes a store while a read waits for a server, without time for running reads. The driver would
// go on to wait until the context of the read ends.
func TestCloseEndsReads(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts connections, nobody responds
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	store, err := Open("mongodb://" + silent.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	found := make(chan enrich.Extension, 1)
	go func() { found <- store.Find(ctx, storetest.Source(), number(7))[0] }()
	harness.Eventually(t, "the read waits for a server", func() bool {
		stacks := make([]byte, 1<<20)
		return strings.Contains(string(stacks[:runtime.Stack(stacks, true)]), "selectServerFromSubscription")
	})
	now, cancelNow := context.WithCancel(context.Background())
	cancelNow()
	if err := store.Close(now); err != nil {
		t.Error(err)
	}
	if ext := <-found; !errors.Is(ext.Err, context.Canceled) {
		t.Errorf("error %v, want a canceled read", ext.Err)
	}
	if ext := store.Find(ctx, storetest.Source(), number(7))[0]; ext.Err == nil || IsUnavailable(ext.Err) {
		t.Errorf("after Close: error %v, want one that a retry does not change", ext.Err)
	}
}
