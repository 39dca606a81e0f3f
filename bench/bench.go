package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"time"
)

// bench measures all, and writes the results.
func bench(ctx context.Context, o options) error {
	r := &results{Machine: machine(), Users: users}
	if err := closedLoops(ctx, o, r); err != nil || o.pgo != "" {
		return err
	}
	t, err := overlap(ctx, o)
	if err != nil {
		return err
	}
	r.Tables = append(r.Tables, t)
	return r.write(o.results)
}

// closedLoops measures with so many clients, each of whom asks again as soon as there is an answer.
func closedLoops(ctx context.Context, o options, r *results) (err error) {
	w := &world{options: o}
	defer func() { err = errors.Join(err, w.stop()) }()
	fmt.Fprintln(os.Stderr, "bench: starting …")
	if err := w.start(ctx, nil); err != nil {
		return err
	}
	if o.pgo != "" {
		return w.profile(ctx)
	}
	for _, connections := range []int{1, 32, 256} {
		t, err := w.takeTurns(ctx, load{connections: connections})
		if err != nil {
			return err
		}
		t.Title = fmt.Sprintf("Closed loop, %d connections", connections)
		if connections == 1 {
			t.Title = "Closed loop, 1 connection"
		}
		r.Tables = append(r.Tables, t)
	}
	return nil
}

// takeTurns measures the variants one after the other, and that a few times; each after a little load that is not
// measured. What counts is the median of the rounds.
func (w *world) takeTurns(ctx context.Context, l load) (table, error) {
	rounds := map[string][]measurement{}
	var names []string
	for round := range w.rounds + 1 {
		for _, v := range w.variants {
			if !w.wants(v.name) {
				continue
			}
			length := w.length
			if round == 0 {
				w.length = w.length / 3 // to warm up
				names = append(names, v.name)
			}
			m, err := w.measure(ctx, v, l)
			w.length = length
			if err != nil {
				return table{}, err
			}
			if ctx.Err() != nil {
				return table{}, ctx.Err()
			}
			if round > 0 {
				rounds[v.name] = append(rounds[v.name], m)
				fmt.Fprintf(os.Stderr, "bench: %d connections, round %d, %s: %.0f/s, p50 %.0f µs, CPU %.0f µs\n", l.connections, round, v.name, m.PerSec, m.P50, m.total())
			}
		}
	}
	t := table{Connections: l.connections}
	for _, name := range names {
		t.Rows = append(t.Rows, row{Variant: name, measurement: median(rounds[name])})
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
		PerSec: middle(func(m measurement) float64 { return m.PerSec }),
		P50:    middle(func(m measurement) float64 { return m.P50 }),
		P99:    middle(func(m measurement) float64 { return m.P99 }),
		P999:   middle(func(m measurement) float64 { return m.P999 }),
		Finds:  middle(func(m measurement) float64 { return m.Finds }),
		CPU:    map[string]float64{}, RSS: ms[len(ms)-1].RSS,
	}
	for _, one := range ms {
		m.Requests += one.Requests
		m.Seconds += one.Seconds
	}
	for _, name := range slices.Sorted(maps.Keys(ms[0].CPU)) {
		m.CPU[name] = middle(func(m measurement) float64 { return m.CPU[name] })
	}
	return m
}

// profile writes a CPU profile of weft, as the compiler wants it (default.pgo).
func (w *world) profile(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", w.admin, int(w.length.Seconds())*w.rounds)
		done <- download(ctx, url, w.pgo)
	}()
	w.length *= time.Duration(w.rounds + 1) // the profile ends first
	for _, v := range w.variants {
		if v.name == "weft" {
			if _, err := w.measure(ctx, v, load{connections: 32}); err != nil {
				return err
			}
		}
	}
	return <-done
}

func download(ctx context.Context, url, file string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	return errors.Join(err, os.WriteFile(file, body, 0o644))
}
