package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"time"
)

// bench measures the parts that are asked for, and writes the results.
func bench(ctx context.Context, o options) error {
	r := &results{Machine: machine(), Users: users, For: o.length.String(), Rounds: o.rounds}
	for _, p := range parts() {
		if !o.wantsPart(p) {
			continue
		}
		tables, err := inWorld(ctx, o, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		r.Tables = append(r.Tables, tables...)
	}
	if o.pgo != "" {
		return nil
	}
	return r.write(o.results)
}

// part is a part of the benchmark. Each has servers of its own.
type part struct {
	name    string
	measure func(context.Context, *world) ([]table, error)
	slow    bool // the legacy service and MongoDB each take longer
	counted bool // Envoy's instructions are counted; only if it is asked for, since it needs valgrind
}

func parts() []part {
	return []part{
		{name: "loops", measure: loops},
		{name: "overlap", measure: overlap, slow: true},
		{name: "rules", measure: rules},
		{name: "scaling", measure: scaling},
		{name: "protocol", measure: protocol},
		{name: "instructions", measure: instructions, counted: true},
	}
}

func inWorld(ctx context.Context, o options, p part) (tables []table, err error) {
	if p.name != "loops" {
		o.python = "" // two calls at once are two calls at once, and it has no rules
	}
	w := &world{options: o, counted: p.counted}
	defer func() { err = errors.Join(err, w.stop()) }()
	fmt.Fprintf(os.Stderr, "bench: starting, for %s …\n", p.name)
	if err := w.start(ctx, p.slow); err != nil {
		return nil, err
	}
	if o.pgo != "" {
		return nil, w.profile(ctx)
	}
	return p.measure(ctx, w)
}

// loops measures with so many clients, each of whom asks again as soon as there is an answer (closed loop); and then with
// requests that come at their own pace (open loop), as shares of what each variant was able to do.
func loops(ctx context.Context, w *world) (tables []table, err error) {
	for _, connections := range []int{1, 32, 64, 256} {
		names := w.only
		if connections == 64 && names == "" {
			names = "weft" // there is no target for the others
		}
		title := fmt.Sprintf("Closed loop, %d connections", connections)
		if connections == 1 {
			title = "Closed loop, 1 connection"
		}
		t, err := w.takeTurns(ctx, title, w.turns(names, load{connections: connections}))
		if err != nil {
			return nil, err
		}
		for _, row := range t.Rows {
			v := w.variant(row.Variant)
			v.capacity = max(v.capacity, row.PerSec)
		}
		tables = append(tables, t)
	}
	for _, percent := range []int{25, 50, 75} {
		t, err := w.takeTurns(ctx, fmt.Sprintf("Open loop, %d %% of what each can do", percent), w.turns(w.only, load{share: float64(percent) / 100}))
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// turn is what is measured in its turn, under a name.
type turn struct {
	name    string
	variant *variant
	load    load
}

// turns are those of the variants that have one of the words in their names, all under the same load.
func (w *world) turns(words string, l load) (turns []turn) {
	for _, v := range w.variants {
		if contains(words, v.name) {
			turns = append(turns, turn{v.name, v, l})
		}
	}
	return turns
}

// takeTurns measures one after the other, and that a few times, in an order of its own each time: some part of what one does is
// paid by the one that comes after. At first each gets a little load that is not measured. What counts is the median of the rounds.
func (w *world) takeTurns(ctx context.Context, title string, turns []turn) (table, error) {
	t := table{Title: title}
	for _, turn := range turns {
		t.Rows = append(t.Rows, row{Variant: turn.name})
		t.Connections = turn.load.connections
		if _, err := w.measure(ctx, turn.variant, turn.load, w.length/3); err != nil {
			return table{}, err
		}
	}
	order := rand.New(rand.NewPCG(1, 2))
	for round := range w.rounds {
		for _, i := range order.Perm(len(turns)) {
			turn := turns[i]
			runtime.GC() // the answers to one variant are no work of the next one's clients
			m, err := w.measure(ctx, turn.variant, turn.load, w.length)
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return table{}, err
			}
			t.Rows[i].Rounds = append(t.Rows[i].Rounds, m)
			fmt.Fprintf(os.Stderr, "bench: %s, round %d, %s: %.0f/s, p50 %.0f µs, CPU %.0f µs\n", title, round+1, turn.name, m.PerSec, m.P50, m.total())
		}
	}
	for i := range t.Rows {
		t.Rows[i].measurement = median(t.Rows[i].Rounds)
	}
	return t, nil
}

// median takes each figure from the middle of the rounds.
func median(ms []measurement) measurement {
	middle := func(of func(measurement) float64) float64 {
		values := make([]float64, len(ms))
		for i, m := range ms {
			values[i] = of(m)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	m := measurement{
		PerSec:       middle(func(m measurement) float64 { return m.PerSec }),
		P50:          middle(func(m measurement) float64 { return m.P50 }),
		P99:          middle(func(m measurement) float64 { return m.P99 }),
		P999:         middle(func(m measurement) float64 { return m.P999 }),
		Finds:        middle(func(m measurement) float64 { return m.Finds }),
		Mallocs:      middle(func(m measurement) float64 { return m.Mallocs }),
		Instructions: middle(func(m measurement) float64 { return m.Instructions }),
		CPU:          map[string]float64{}, Kernel: map[string]float64{}, Switches: map[string]float64{}, RSS: ms[len(ms)-1].RSS,
	}
	for _, one := range ms {
		m.Requests += one.Requests
		m.Seconds += one.Seconds
	}
	for _, name := range slices.Sorted(maps.Keys(ms[0].CPU)) {
		m.CPU[name] = middle(func(m measurement) float64 { return m.CPU[name] })
		m.Kernel[name] = middle(func(m measurement) float64 { return m.Kernel[name] })
		m.Switches[name] = middle(func(m measurement) float64 { return m.Switches[name] })
	}
	return m
}

// profile writes a CPU profile of weft, as the compiler wants it (default.pgo).
func (w *world) profile(ctx context.Context) error {
	weft := w.variant("weft")
	done := make(chan error, 1)
	go func() {
		profile, err := get(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", weft.admin, int(w.length.Seconds())*w.rounds))
		if err == nil {
			err = os.WriteFile(w.pgo, profile, 0o644)
		}
		done <- err
	}()
	_, err := w.measure(ctx, weft, load{connections: 32}, w.length*time.Duration(w.rounds+1)) // the profile ends first
	return errors.Join(err, <-done)
}
