package mongostore

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"weft/enrich"
	"weft/enrich/cache"
	"weft/test/harness"
)

// countReads is a Store that counts the calls of Find.
type countReads struct {
	enrich.Store
	reads atomic.Int64
}

func (c *countReads) Find(ctx context.Context, src *enrich.Source, keys []enrich.Key) []enrich.Extension {
	c.reads.Add(1)
	return c.Store.Find(ctx, src, keys)
}

// TestOutage: while the driver knows no server, an older document replaces a read, without a command or a wait. It is
// read again as soon as the driver knows a server.
func TestOutage(t *testing.T) {
	member, uri := startMember(t)
	src := cached("id")
	c := dial(t, uri).Database(src.Database).Collection(src.Collection)
	_, err := c.InsertOne(t.Context(), bson.D{{Key: "id", Value: 7}, {Key: "n", Value: 1}})
	must(t, err)
	// With the default timeouts, the driver needs 30 to 40 s to notice that a server does not respond.
	store := openStore(t, uri+"&connectTimeoutMS=500&heartbeatFrequencyMS=500")
	reads := &countReads{Store: enrich.Batch(store)}
	cache := cache.New(reads, store.Watch)
	defer cache.Close()
	cache.IsAvailable = store.IsAvailable
	cache.Use([]*enrich.Rule{{Sources: []*enrich.Source{src}}})
	find := func(ctx context.Context, id int64) (ext enrich.Extension, isRead bool) {
		before := reads.reads.Load()
		ext = cache.Find(ctx, src, number(id))[0]
		return ext, reads.reads.Load() > before
	}
	expectFresh := func(when string) {
		t.Helper()
		harness.Eventually(t, when+": MongoDB is available", store.IsAvailable)
		if ext, _ := find(t.Context(), 7); string(ext.JSON) != `{"n":1}` || ext.Stale != nil {
			t.Errorf("%s: %s: %s, %v, %v", when, ext.Cache, ext.JSON, ext.Err, ext.Stale)
		}
	}
	expectStale := func(when string) {
		t.Helper()
		harness.Eventually(t, when+": the driver and the change stream notice", func() bool {
			return !store.IsAvailable() && !cache.Stats()[0].Follows
		})
		ext, isRead := find(t.Context(), 7)
		if string(ext.JSON) != `{"n":1}` || ext.Cache != enrich.CacheStale || ext.Stale == nil || isRead {
			t.Errorf("%s: %s: %s, %v, %v; read %t", when, ext.Cache, ext.JSON, ext.Err, ext.Stale, isRead)
		}
		budget, cancel := context.WithCancelCause(t.Context())
		cancel(context.DeadlineExceeded)
		if ext, isRead := find(budget, 8); !errors.Is(ext.Err, context.DeadlineExceeded) || !isRead {
			t.Errorf("%s: without an older document: %s, %v; read %t", when, ext.JSON, ext.Err, isRead)
		}
	}
	expectFresh("at first")
	must(t, member.Kill())
	expectStale("killed")
	must(t, member.Restart(t.Context()))
	expectFresh("restarted")
	must(t, member.Freeze())
	expectStale("frozen")
	must(t, member.Signal(syscall.SIGCONT))
	expectFresh("thawed")
}

// TestServersForReads: which servers are suitable depends on the read preference.
func TestServersForReads(t *testing.T) {
	const none, primary, secondary, both = 0, 1, 2, 3 // bits for read preferences
	for kind, want := range map[string]int{
		"RSPrimary": primary, "RSSecondary": secondary, "RSArbiter": none, "RSGhost": none, "Unknown": none,
		"Mongos": both, "Standalone": both, "LoadBalancer": both,
	} {
		known := event.TopologyDescription{Kind: "ReplicaSetNoPrimary", Servers: []event.ServerDescription{{Kind: kind}}}
		for mode, bits := range map[readpref.Mode]int{
			readpref.PrimaryMode: primary, readpref.SecondaryMode: secondary, readpref.NearestMode: both,
			readpref.PrimaryPreferredMode: both, readpref.SecondaryPreferredMode: both,
		} {
			if got := hasServer(known, mode); got != (want&bits != 0) {
				t.Errorf("%s for %v: %t", kind, mode, got)
			}
		}
		known.Kind = "Single"
		if got := hasServer(known, readpref.SecondaryMode); got != (kind != "Unknown") {
			t.Errorf("%s, direct connection: %t", kind, got)
		}
	}
}

// TestMonitorsOfTheCaller: the monitors that the options of a Store have are called, too.
func TestMonitorsOfTheCaller(t *testing.T) {
	changed := make(chan struct{}, 1)
	store := openStore(t, mongod.URI(), func(o *options.ClientOptions) {
		o.SetServerMonitor(&event.ServerMonitor{TopologyDescriptionChanged: func(*event.TopologyDescriptionChangedEvent) {
			notify(changed)
		}})
	})
	<-changed
	harness.Eventually(t, "MongoDB is available", store.IsAvailable)
	must(t, store.Close(context.Background()))
	if store.IsAvailable() {
		t.Error("available after Close")
	}
}
