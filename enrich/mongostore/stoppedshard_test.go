package mongostore

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"weft/enrich"
	"weft/test/harness"
	"weft/test/storetest"
)

const (
	users      = 200                    // inserted by insertUsers
	clients    = 32                     // concurrent
	readBudget = 900 * time.Millisecond // of a read, within Envoy's message_timeout of 1 s
)

func insertUsers(t *testing.T, c *mongo.Collection) {
	t.Helper()
	documents := make([]bson.D, users)
	for id := range documents {
		documents[id] = bson.D{{Key: "id", Value: id}, {Key: "label", Value: fmt.Sprint("user ", id)}}
	}
	_, err := c.InsertMany(t.Context(), documents)
	must(t, err)
}

// isFound reports whether an extension is the user's. It fails the test if the extension belongs to another user.
func isFound(t *testing.T, id int64, ext enrich.Extension) bool {
	want := fmt.Sprintf(`{"id":%d,"names":["nobody"],"score":0.5,"label":"user %[1]d","more":{}}`, id)
	if ext.Err == nil && string(ext.JSON) != want {
		t.Errorf("user %d: %s", id, ext.JSON)
	}
	return ext.Err == nil
}

// load is a number of clients that read sequentially.
type load struct {
	clients, reads int
	users          int           // of each read
	budget         time.Duration // of a read; 0 is readBudget
}

// readUsers reads random users with concurrent clients. It calls result for each, concurrently.
func readUsers(t *testing.T, store enrich.Store, source *enrich.Source, l load, result func(int64, enrich.Extension)) {
	var left atomic.Int64
	left.Store(int64(l.reads))
	var wait sync.WaitGroup
	for seed := range uint64(l.clients) {
		random := rand.New(rand.NewPCG(seed, 19))
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				var ids []int64
				for _, id := range random.Perm(users)[:l.users] {
					ids = append(ids, int64(id))
				}
				ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(l.budget, readBudget))
				for i, ext := range store.Find(ctx, source, number(ids...)) {
					result(ids[i], ext)
				}
				cancel()
			}
		})
	}
	wait.Wait()
}

// awaitFound waits until reads find all users.
func awaitFound(t *testing.T, store enrich.Store, source *enrich.Source) {
	t.Helper()
	harness.Eventually(t, "all users are found", func() bool {
		var missing atomic.Int64
		readUsers(t, store, source, load{clients: clients, reads: users, users: 1}, func(id int64, ext enrich.Extension) {
			if !isFound(t, id, ext) {
				missing.Add(1)
			}
		})
		return missing.Load() == 0
	})
}

// TestStoppedShard: one of two shards is stopped, so that commands with one of its keys fail or are held. Users of the
// other shard are found, within the budget, and all users are found when the shard is back.
func TestStoppedShard(t *testing.T) {
	isStopped := func(id int64) bool { return id%2 == 1 }
	// On a busy machine reads are slow, too, and keys that are held occupy their places for this time.
	const budget = 3 * time.Second
	for _, test := range []struct {
		name  string
		holds bool
		load
	}{
		{"fails", false, load{clients, 600, 1, budget}},
		{"fails, lists", false, load{clients, 200, 8, budget}},
		{"holds", true, load{clients, 4 * clients, 1, budget}},
		{"holds, lists", true, load{clients, 3 * clients, 6, budget}},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := storetest.Source()
			insertUsers(t, collection(t, source))
			proxy := startFaultProxy(t, isStopped)
			mongo, err := Open(proxy.uri)
			must(t, err)
			t.Cleanup(func() { _ = mongo.Close(context.Background()) })
			store := enrich.Limit(enrich.Batch(mongo), 10*clients)
			for _, ext := range store.Find(t.Context(), source, number(1, 2, 3)) { // the driver has its connections
				must(t, ext.Err)
			}

			proxy.stopShard(test.holds)
			readUsers(t, store, source, test.load, func(id int64, ext enrich.Extension) {
				if isFound(t, id, ext) == isStopped(id) {
					t.Errorf("user %d: %s, %v", id, ext.JSON, ext.Err)
				}
			})
			proxy.heal()
			awaitFound(t, store, source)
		})
	}
}
