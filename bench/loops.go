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

// loops measures closed loops, in which each connection sends its next request when it has a response, and open loops,
// in which requests arrive at a share of the rate that the variant reached in a closed loop.
func loops(ctx context.Context, b *testbed) (tables []table, err error) {
	for i, e := range endpoints() {
		for _, connections := range []int{1, 32, 64, 256} {
			words := b.only
			if connections == 64 && words == "" {
				words = weftNow // only weft has a target here
			}
			l := load{connections: connections, path: e.path}
			t, err := b.interleave(ctx, closedLoop(connections, e.name), b.trials(words, l))
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
