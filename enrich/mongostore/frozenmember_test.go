package mongostore

import (
	"context"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/enrich"
	"weft/test/harness"
)

// testFrozenMember: a secondary stops responding, and the driver has not noticed. Only reads that were sent to it are
// late, and they are few: the driver prefers members with fewer running commands.
func testFrozenMember(t *testing.T, set *replicaSet, source *enrich.Source, preference string) {
	frozen := set.secondary(t)
	address := strings.TrimPrefix(frozen.URI(), "mongodb://")
	// Keys in commands sent to the member, and commands that wait for a connection to it.
	var keys, waiting, late atomic.Int64
	store := set.open(t, preference, func(o *options.ClientOptions) {
		o.SetPoolMonitor(&event.PoolMonitor{Event: func(e *event.PoolEvent) {
			if e.Type == event.ConnectionCheckOutStarted && e.Address == address {
				waiting.Add(1)
			}
		}})
		o.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if e.CommandName == "find" && strings.HasPrefix(e.ConnectionID, address+"[") {
				waiting.Add(-1)
				keys.Add(int64(askedKeys(e.Command)))
			}
		}})
	})
	awaitFound(t, store, source)
	keys.Store(0)
	must(t, frozen.Freeze())
	defer func() { _ = frozen.Signal(syscall.SIGCONT) }()
	const reads = 2000
	readUsers(t, store, source, load{clients: clients, reads: reads, users: 1}, func(id int64, ext enrich.Extension) {
		if !isFound(t, id, ext) {
			late.Add(1)
		}
	})
	if late.Load() > keys.Load()+waiting.Load() || late.Load() > 2*clients {
		t.Errorf("%d of %d users are late, with %d keys for the frozen member, and %d commands that wait for a connection",
			late.Load(), reads, keys.Load(), waiting.Load())
	}
	must(t, frozen.Signal(syscall.SIGCONT))
	awaitFound(t, store, source)
}

// askedKeys returns the number of keys in a find command.
func askedKeys(find bson.Raw) int {
	list, ok := find.Lookup("filter", "id", "$in").ArrayOK()
	if !ok {
		return 1
	}
	values, _ := list.Values()
	return len(values)
}

// testFrozenMemberIsNoticed: with a shorter timeout and interval of heartbeats in the connection string, the driver
// soon notices that a member does not respond. By default this takes 30 to 40 s.
func testFrozenMemberIsNoticed(t *testing.T, set *replicaSet, source *enrich.Source) {
	frozen := set.secondary(t)
	address := strings.TrimPrefix(frozen.URI(), "mongodb://")
	var isReachable atomic.Bool
	const shorter = "nearest&connectTimeoutMS=500&heartbeatFrequencyMS=500"
	store := set.open(t, shorter, func(o *options.ClientOptions) {
		o.SetServerMonitor(&event.ServerMonitor{ServerDescriptionChanged: func(e *event.ServerDescriptionChangedEvent) {
			if e.Address.String() == address {
				isReachable.Store(e.NewDescription.Kind != "Unknown")
			}
		}})
	})
	harness.Eventually(t, "the member is reachable", isReachable.Load)
	must(t, frozen.Freeze())
	defer func() { _ = frozen.Signal(syscall.SIGCONT) }()
	harness.Eventually(t, "the driver notices", func() bool { return !isReachable.Load() })
	awaitFound(t, store, source)
	must(t, frozen.Signal(syscall.SIGCONT))
	harness.Eventually(t, "the member is reachable again", isReachable.Load)
}
