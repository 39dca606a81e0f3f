package main

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	overlapDelay = 20 * time.Millisecond // of the legacy service, and of MongoDB
	overlapTitle = "Overlap: the legacy service and MongoDB take 20 ms more each, 1 connection"
)

// overlap shows whether the two calls of a request run concurrently or sequentially.
func overlap(ctx context.Context, b *testbed) ([]table, error) {
	t, err := b.interleave(ctx, overlapTitle, b.trials(b.only, load{connections: 1, path: func(random *rand.Rand) string {
		return userPath(random) + "?delay=" + overlapDelay.String()
	}}))
	return []table{t}, err
}
