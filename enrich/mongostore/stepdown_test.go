package mongostore

import (
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// testStepDown: the primary steps down under load, and another member takes over. At most the reads in flight are late,
// and no read returns a wrong extension.
func testStepDown(t *testing.T, set *replicaSet, source *enrich.Source) {
	store := set.open(t, "primary")
	awaitFound(t, store, source)
	primary := set.awaitPrimary(t)
	const before, reads = 500, 3000
	var results, late atomic.Int64
	underLoad := make(chan struct{})
	var underWay sync.WaitGroup
	underWay.Go(func() {
		readUsers(t, store, source, load{clients: clients, reads: reads, users: 1}, func(id int64, ext enrich.Extension) {
			if results.Add(1) == before {
				close(underLoad)
			}
			if !isFound(t, id, ext) {
				late.Add(1)
			}
		})
	})
	<-underLoad
	_, err := primary.Run(t.Context(), "admin", bson.D{{Key: "replSetStepDown", Value: 30}})
	underWay.Wait()
	must(t, err)
	awaitFound(t, store, source)
	if late.Load() > clients {
		t.Errorf("%d users are late, want at most the %d reads in flight", late.Load(), clients)
	}
	if set.primary(t) == primary {
		t.Error("the primary is the same")
	}
}
