package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	weftCached  = "weft with a cache"
	cachedDelay = 5 * time.Millisecond // of each direction
	cachedTitle = "Documents in a cache, MongoDB 5 ms away (each direction)"
)

// cached measures what the cache of an extension saves if 95 % of the requests are for 1 % of the users. This mongod is
// not a member of a replica set, so documents stay until they are too old.
func cached(ctx context.Context, b *testbed) ([]table, error) {
	v, err := b.startWithRules(ctx, weftCached, userRule+"        cache: {max_size: 1MiB, max_age: 60m}\n")
	if err != nil {
		return nil, err
	}
	var all []trial
	for _, n := range []int{1, 16, 64} {
		l := load{connections: n, path: popularPath}
		all = append(all, trial{distanceRow(weftNow, n), b.variant(weftNow), l}, trial{distanceRow(weftCached, n), v, l})
	}
	t, err := b.interleave(ctx, cachedTitle, all)
	return []table{t}, err
}

// popularPath returns the path of a user, in 95 % of the calls one of few.
func popularPath(random *rand.Rand) string {
	if random.IntN(100) < 95 {
		return fmt.Sprintf("/api/v1/users/%d", random.IntN(users/100))
	}
	return userPath(random)
}
