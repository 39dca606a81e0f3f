package mongostore

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"weft/enrich"
	"weft/test/harness"
)

// testLostPrimary: the primary is killed under load, without a handover. Until the others have elected a new one, reads
// with the preference primary end within their budgets, without an extension. With other preferences, at most the reads
// in flight are late. No read returns a wrong extension, and after the election all users are found again.
func testLostPrimary(t *testing.T, set *replicaSet, source *enrich.Source) {
	preferences := []string{"primary", "primaryPreferred", "nearest"}
	stores, late := map[string]enrich.Store{}, map[string]*atomic.Int64{}
	for _, preference := range preferences {
		stores[preference], late[preference] = set.open(t, preference), &atomic.Int64{}
		awaitFound(t, stores[preference], source)
	}
	primary := set.awaitPrimary(t)

	const before, reads = 500, 3000
	var underLoad, underWay sync.WaitGroup
	for _, preference := range preferences {
		underLoad.Add(1)
		underWay.Go(func() {
			var results atomic.Int64
			readUsers(t, stores[preference], source, load{clients: clients, reads: reads, users: 1},
				func(id int64, ext enrich.Extension) {
					if !isFound(t, id, ext) {
						late[preference].Add(1)
					}
					if results.Add(1) == before {
						underLoad.Done()
					}
				})
		})
	}
	underLoad.Wait()
	must(t, primary.Kill())
	set.members = slices.DeleteFunc(set.members, func(m *harness.Mongod) bool { return m == primary })
	underWay.Wait()
	set.awaitPrimary(t)

	for _, preference := range preferences {
		t.Logf("%s: %d of %d reads are late", preference, late[preference].Load(), reads)
		if preference != "primary" && late[preference].Load() > clients {
			t.Errorf("%s: %d users are late, want at most the %d reads in flight",
				preference, late[preference].Load(), clients)
		}
		awaitFound(t, stores[preference], source)
		readUsers(t, stores[preference], source, load{clients: clients, reads: before, users: 1},
			func(id int64, ext enrich.Extension) {
				if !isFound(t, id, ext) {
					t.Errorf("%s: user %d is late after the election: %v", preference, id, ext.Err)
				}
			})
	}
}
