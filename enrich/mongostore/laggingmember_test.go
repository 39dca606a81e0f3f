package mongostore

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"weft/enrich"
	"weft/enrich/cache"
	"weft/test/harness"
)

// testLaggingMember: the member with the change stream stops replicating, and responds that no changes have happened.
// The cache is not used until the stream has caught up.
func testLaggingMember(t *testing.T, set *replicaSet) {
	src := cached("id")
	client := dial(t, set.uri)
	majority := options.Collection().SetWriteConcern(writeconcern.Majority())
	c := client.Database(src.Database).Collection(src.Collection, majority)
	write := func(n int) {
		change := bson.D{{Key: "$set", Value: bson.D{{Key: "id", Value: 7}, {Key: "n", Value: n}}}}
		_, err := c.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: 1}}, change, options.UpdateOne().SetUpsert(true))
		must(t, err)
	}
	var streamsFrom atomic.Value
	store := openStore(t, set.uri+"&readPreference=secondary", func(o *options.ClientOptions) {
		o.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if e.CommandName == "getMore" {
				address, _, _ := strings.Cut(e.ConnectionID, "[")
				streamsFrom.Store("mongodb://" + address)
			}
		}})
	})
	cache := cache.New(enrich.Batch(store), store.Watch)
	defer cache.Close()
	cache.Use([]*enrich.Rule{{Sources: []*enrich.Source{src}}})
	expectUsed := func(want string) {
		t.Helper()
		harness.Eventually(t, "the cache has "+want, func() bool {
			ext := cache.Find(t.Context(), src, number(7))[0]
			return ext.Cache == enrich.CacheHit && string(ext.JSON) == want
		})
	}
	write(1)
	expectUsed(`{"n":1}`)

	var lagging *harness.Mongod
	for _, member := range set.members {
		if member.URI() == streamsFrom.Load() {
			lagging = member
		}
	}
	failPoint := func(mode string) bson.Raw {
		t.Helper()
		previous, err := lagging.Run(t.Context(), "admin", bson.D{
			{Key: "configureFailPoint", Value: "rsSyncApplyStop"}, {Key: "mode", Value: mode},
		})
		must(t, err)
		return previous
	}
	entered := failPoint("alwaysOn").Lookup("count").AsInt64()
	defer failPoint("off")
	_, err := lagging.Run(t.Context(), "admin", bson.D{
		{Key: "waitForFailPoint", Value: "rsSyncApplyStop"},
		{Key: "timesEntered", Value: entered + 1},
		{Key: "maxTimeMS", Value: 30_000},
	})
	must(t, err)
	write(2)
	harness.Eventually(t, "the cache is not used", func() bool { return !cache.Stats()[0].Follows })
	failPoint("off")
	expectUsed(`{"n":2}`)
}
