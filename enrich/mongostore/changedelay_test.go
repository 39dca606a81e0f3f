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

// BenchmarkChangeDelay measures the time from when a write is acknowledged (w: majority) until a cache returns its
// result, with a replica set of one member on this machine:
//
//	go test ./enrich/mongostore -run '^$' -bench ChangeDelay -benchtime 1000x
//
// A negative delay means that the change was reported before the write was acknowledged.
func BenchmarkChangeDelay(b *testing.B) {
	_, uri := startMember(b)
	src, store := cached("id"), openStore(b, uri)
	c := dial(b, uri).Database(src.Database).Collection(src.Collection)
	changed := make(chan time.Time, 1)
	follows := make(chan struct{}, 1)
	cache := cache.New(enrich.Batch(store), func(ctx context.Context, sources []*enrich.Source, to enrich.Changes) {
		store.Watch(ctx, sources, &timer{Changes: to, changed: changed, follows: follows})
	})
	defer cache.Close()
	cache.Use([]*enrich.Rule{{Sources: []*enrich.Source{src}}})
	<-follows
	key := []enrich.Key{number(7)[0]}
	delays := make([]time.Duration, 0, b.N)
	for n := range b.N {
		cache.Find(b.Context(), src, key)
		change := bson.D{{Key: "$set", Value: bson.D{{Key: "id", Value: 7}, {Key: "n", Value: n}}}}
		_, err := c.UpdateOne(b.Context(), bson.D{{Key: "_id", Value: 1}}, change, options.UpdateOne().SetUpsert(true))
		if err != nil {
			b.Fatal(err)
		}
		acknowledged := time.Now()
		delays = append(delays, (<-changed).Sub(acknowledged))
		if ext := cache.Find(b.Context(), src, key)[0]; ext.Cache != enrich.CacheMiss {
			b.Fatalf("%+v", ext)
		}
	}
	slices.Sort(delays)
	for _, percentile := range []int{50, 99} {
		delay := delays[len(delays)*percentile/100]
		b.ReportMetric(float64(delay.Microseconds()), fmt.Sprintf("p%d-µs", percentile))
	}
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
