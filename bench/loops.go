package main

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// endpoint is a path with a composite of weft's built-in rules.
type endpoint struct {
	name string
	path func(*rand.Rand) string
}

// endpoints returns a path that the legacy service also has and one that exists only with weft.
func endpoints() []endpoint {
	return []endpoint{{"/api/v1/users/{id}", userPath}, {"/api/v3/composite-profile/{id}", profilePath}}
}

// userPath returns the path of a random user.
func userPath(random *rand.Rand) string { return fmt.Sprintf("/api/v1/users/%d", random.IntN(users)) }

// profilePath returns the path of a random user's composite profile.
func profilePath(random *rand.Rand) string {
	return fmt.Sprintf("/api/v3/composite-profile/%d", random.IntN(users))
}

// closedLoop and openLoop return the titles of tables.
func closedLoop(connections int, endpoint string) string {
	return "Closed loop, " + plural(connections) + ", " + endpoint
}

func openLoop(percent int) string {
	return fmt.Sprintf("Open loop, %d %% of each variant's capacity", percent)
}

func plural(connections int) string {
	if connections == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", connections)
}

// oneWorker ends the titles of loops in which Envoy has one worker instead of two.
const oneWorker = ", one Envoy worker"

// closedLoops measures loops in which each connection sends its next request when it has a response. suffix ends their
// titles.
func closedLoops(ctx context.Context, b *testbed, suffix string, connections ...int) (tables []table, err error) {
	for i, e := range endpoints() {
		for _, n := range connections {
			words := b.only
			if n == 64 && words == "" {
				words = weftNow // only weft has a target here
			}
			l := load{connections: n, path: e.path}
			t, err := b.interleave(ctx, closedLoop(n, e.name)+suffix, b.trials(words, l))
			if err != nil {
				return nil, err
			}
			for _, row := range t.Rows {
				if v := b.variant(row.Name); i == 0 {
					v.capacity = max(v.capacity, row.PerSec)
				}
			}
			tables = append(tables, t)
		}
	}
	return tables, nil
}

// oneWorkerLoops measures closed loops with the connections for which weft in Envoy has targets.
func oneWorkerLoops(ctx context.Context, b *testbed) ([]table, error) {
	return closedLoops(ctx, b, oneWorker, 1, 32, 256)
}

// loops measures closed loops, and open loops, in which requests arrive at a share of the rate that the variant reached
// in a closed loop.
func loops(ctx context.Context, b *testbed) (tables []table, err error) {
	if tables, err = closedLoops(ctx, b, "", 1, 32, 64, 256); err != nil {
		return nil, err
	}
	for _, percent := range []int{25, 50, 75} {
		l := load{share: float64(percent) / 100, path: userPath}
		t, err := b.interleave(ctx, openLoop(percent), b.trials(b.only, l))
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}
