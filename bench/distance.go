package main

import (
	"context"
	"strconv"
	"time"
)

// distances are the delays of each direction between the variants and MongoDB.
func distances() []time.Duration {
	return []time.Duration{0, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond}
}

func distanceTitle(delay time.Duration) string {
	return "MongoDB " + strconv.FormatFloat(delay.Seconds()*1000, 'f', -1, 64) + " ms away (each direction)"
}

// distanceRow returns the name of a row.
func distanceRow(variant string, connections int) string { return variant + ", " + plural(connections) }

// distance measures closed loops while MongoDB is at a distance, all in the same rounds: the reads of several
// connections must not wait for each other.
func distance(ctx context.Context, b *testbed, delay time.Duration) ([]table, error) {
	counts := []int{1, 2, 4, 16, 64}
	if delay == 0 {
		counts = append(counts, 256)
	}
	var all []trial
	for _, n := range counts {
		for _, tr := range b.trials(b.only, load{connections: n, path: userPath}) {
			tr.name = distanceRow(tr.name, n)
			all = append(all, tr)
		}
	}
	t, err := b.interleave(ctx, distanceTitle(delay), all)
	return []table{t}, err
}
