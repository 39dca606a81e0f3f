package mongostore

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/enrich"
)

// testFrozenMember: a secondary stops responding, and the driver has not noticed. Only reads that were sent to it are
// late, and they are few: the driver prefers members with fewer running commands.
func testFrozenMember(t *testing.T, set *replicaSet, source *enrich.Source, preference string) {
	frozen := set.secondary(t)
	var sent, late atomic.Int64
	store := set.open(t, preference, func(o *options.ClientOptions) {
		o.SetPoolMonitor(&event.PoolMonitor{Event: func(e *event.PoolEvent) {
			if e.Type == event.ConnectionCheckOutStarted && e.Address == strings.TrimPrefix(frozen.URI(), "mongodb://") {
				sent.Add(1)
			}
		}})
	})
	awaitFound(t, store, source)
	sent.Store(0)
	must(t, frozen.Freeze())
	defer func() { _ = frozen.Signal(syscall.SIGCONT) }()
	const reads = 2000
	readUsers(t, store, source, load{clients, reads, 1}, func(id int64, ext enrich.Extension) {
		if !isFound(t, id, ext) {
			late.Add(1)
		}
	})
	if late.Load() > sent.Load() || late.Load() > 2*clients {
		t.Errorf("%d of %d users are late, want at most %d commands for the frozen member", late.Load(), reads, sent.Load())
	}
	must(t, frozen.Signal(syscall.SIGCONT))
	awaitFound(t, store, source)
}
