package mongostore

import (
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// testStepDown: the primary steps down under load. Reads that are under way may be late, none is wrong, and all are whole
// when there is a primary again.
func testStepDown(t *testing.T, set *replicaSet, source *enrich.Source) {
	store := set.open(t, "primary")
	awaitWhole(t, store, source)
	primary := set.primary(t)
	for primary == nil { // an election is under way
		primary = set.primary(t)
	}
	const before, reads = 500, 3000
	var results, late atomic.Int64
	underLoad := make(chan struct{})
	var underWay sync.WaitGroup
	underWay.Go(func() {
		readUsers(t, store, source, load{clients, reads, 1}, func(id int64, ext enrich.Extension) {
			if results.Add(1) == before {
				close(underLoad)
			}
			if !isWhole(t, id, ext) {
				late.Add(1)
			}
		})
	})
	<-underLoad
	stepDown := bson.D{{Key: "replSetStepDown", Value: 30}, {Key: "force", Value: true}}
	_, err := primary.Run(t.Context(), "admin", stepDown)
	underWay.Wait()
	must(t, err)
	awaitWhole(t, store, source)
	t.Logf("%d of %d users are late", late.Load(), reads)
	if next := set.primary(t); next == primary {
		t.Error("the primary is the same")
	}
}
