package mongostore

import (
	"sync/atomic"
	"syscall"
	"testing"

	"weft/enrich"
)

// testFrozenMember: a secondary does not answer any more, and the driver has not noticed. Only reads that were sent to it
// are late: the driver prefers members with fewer commands under way, and second tries go there, too.
func testFrozenMember(t *testing.T, set *replicaSet, source *enrich.Source, preference string) {
	frozen := set.secondary(t)
	store := set.open(t, preference)
	awaitWhole(t, store, source)
	must(t, frozen.Freeze())
	defer func() { _ = frozen.Signal(syscall.SIGCONT) }()
	var whole, late atomic.Int64
	readUsers(t, store, source, load{clients, 2000, 1}, func(id int64, ext enrich.Extension) {
		if isWhole(t, id, ext) {
			whole.Add(1)
		} else {
			late.Add(1)
		}
	})
	t.Logf("%d users are whole, %d late", whole.Load(), late.Load())
	if whole.Load() < late.Load() {
		t.Errorf("%d users are whole, and %d are late", whole.Load(), late.Load())
	}
	must(t, frozen.Signal(syscall.SIGCONT))
	awaitWhole(t, store, source)
}
