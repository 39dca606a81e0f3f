package main

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
)

// trial is a variant under a load: a row of a table.
type trial struct {
	name    string
	variant *variant
	load    load
}

// trials returns a trial with the load for each variant whose name contains one of the comma-separated words.
func (b *testbed) trials(words string, l load) (trials []trial) {
	for _, v := range b.variants {
		if containsAny(v.name, words) {
			trials = append(trials, trial{v.name, v, l})
		}
	}
	return trials
}

// containsAny reports whether name contains one of the comma-separated words. Every name contains the empty word.
func containsAny(name, words string) bool {
	return slices.ContainsFunc(strings.Split(words, ","), func(word string) bool { return strings.Contains(name, word) })
}

// interleave measures all trials in each of several rounds, and returns a table with the medians. The order differs
// from round to round, because a trial can slow down the one after it. Each trial is warmed up first.
func (b *testbed) interleave(ctx context.Context, title string, trials []trial) (table, error) {
	t := table{Title: title}
	for _, tr := range trials {
		t.Rows = append(t.Rows, row{Name: tr.name})
		if _, err := b.measure(ctx, tr.variant, tr.load, b.length/3); err != nil {
			return t, err
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range b.rounds {
		for _, i := range random.Perm(len(trials)) {
			tr := trials[i]
			runtime.GC() // frees the responses of the previous trial
			m, err := b.measure(ctx, tr.variant, tr.load, b.length)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return t, err
			}
			t.Rows[i].Rounds = append(t.Rows[i].Rounds, m)
			fmt.Fprintf(os.Stderr, "bench: %s, round %d, %s: %.0f/s, p50 %.0f µs, CPU %.0f µs\n",
				title, round+1, tr.name, m.PerSec, m.P50, m.totalCPU())
		}
	}
	for i := range t.Rows {
		t.Rows[i].measurement = medians(t.Rows[i].Rounds)
	}
	return t, nil
}

// medians returns the median of each figure.
func medians(rounds []measurement) measurement {
	of := func(figure func(measurement) float64) float64 {
		values := make([]float64, len(rounds))
		for i, m := range rounds {
			values[i] = figure(m)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	m := measurement{
		PerSec:   of(func(m measurement) float64 { return m.PerSec }),
		P50:      of(func(m measurement) float64 { return m.P50 }),
		P99:      of(func(m measurement) float64 { return m.P99 }),
		P999:     of(func(m measurement) float64 { return m.P999 }),
		Commands: of(func(m measurement) float64 { return m.Commands }),
		Mallocs:  of(func(m measurement) float64 { return m.Mallocs }),
		CPU:      map[string]float64{},
		RSS:      map[string]float64{},
	}
	for name := range maps.Keys(rounds[0].CPU) {
		m.CPU[name] = of(func(m measurement) float64 { return m.CPU[name] })
		m.RSS[name] = of(func(m measurement) float64 { return m.RSS[name] })
	}
	return m
}
