package mongostore

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/enrich"
	"weft/enrich/cache"
)

// TestWritesAreSeen: once a change is reported, the cache has no older document. The test logs how long after the
// acknowledgment of the write (w: majority) that was, with a replica set of one member on this machine:
//
//	go test ./enrich/mongostore -run WritesAreSeen -v
//
// A negative delay means that the change was reported before the write was acknowledged.
func TestWritesAreSeen(t *testing.T) {
	_, uri := startMember(t)
	src, store := cached("id"), openStore(t, uri)
	c := dial(t, uri).Database(src.Database).Collection(src.Collection)
	changed := make(chan time.Time, 1)
	follows := make(chan struct{}, 1)
	cache := cache.New(enrich.Batch(store), func(ctx context.Context, sources []*enrich.Source, to enrich.Changes) {
		store.Watch(ctx, sources, &timer{Changes: to, changed: changed, follows: follows})
	})
	defer cache.Close()
	cache.Use([]*enrich.Rule{{Sources: []*enrich.Source{src}}})
	<-follows
	const writes = 1000
	delays := make([]time.Duration, writes)
	for n := range writes {
		cache.Find(t.Context(), src, number(7))
		change := bson.D{{Key: "$set", Value: bson.D{{Key: "id", Value: 7}, {Key: "n", Value: n}}}}
		_, err := c.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: 1}}, change, options.UpdateOne().SetUpsert(true))
		must(t, err)
		acknowledged := time.Now()
		delays[n] = (<-changed).Sub(acknowledged)
		ext := cache.Find(t.Context(), src, number(7))[0]
		if want := fmt.Sprintf(`{"n":%d}`, n); string(ext.JSON) != want || ext.Cache != enrich.CacheMiss {
			t.Fatalf("%s %s, %v; want %s", ext.Cache, ext.JSON, ext.Err, want)
		}
	}
	slices.Sort(delays)
	t.Logf("delay of %d changes: median %v, p99 %v, maximum %v",
		writes, delays[writes/2], delays[writes*99/100], delays[writes-1])
}

// timer reports when a cache has received a change.
type timer struct {
	enrich.Changes
	changed chan<- time.Time
	follows chan<- struct{}
}

func (t *timer) Begin() {
	t.Changes.Begin()
	t.follows <- struct{}{}
}

func (t *timer) Match(src *enrich.Source, key enrich.Key) {
	t.Changes.Match(src, key)
	t.changed <- time.Now()
}
