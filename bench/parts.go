package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"weft/test/harness"
)

// part is one part of the benchmark. Its variants run only while it is measured.
type part struct {
	name     string
	variants []string      // empty means all
	workers  int           // of each Envoy; 0 means 2
	delay    time.Duration // of each direction between the variants and MongoDB
	measure  func(context.Context, *testbed) ([]table, error)
}

func parts() []part {
	all := []part{
		{name: "loops", measure: loops},
		{
			name: "loops",
			variants: []string{
				envoyAlone, noopExtProc, noopModule, weftNow, weftInEnvoy, goAggregator, goAggregatorInMesh,
				fastAPIAggregator,
			},
			workers: 1,
			measure: oneWorkerLoops,
		},
		{
			name:     "overlap",
			variants: []string{envoyAlone, noopExtProc, weftNow, weftBefore, goAggregator, goAggregatorInMesh},
			delay:    overlapDelay / 2,
			measure:  overlap,
		},
		{name: "rules", variants: []string{envoyAlone, weftNow}, measure: rules},
		{name: "scaling", measure: scaling, variants: []string{weftNow}},
		{name: "selection", measure: selection, variants: []string{weftNow}},
		{name: "cached", measure: cached, variants: []string{weftNow}, delay: cachedDelay},
	}
	for _, delay := range distances() {
		all = append(all, part{
			name: "distance", variants: []string{weftNow, weftBefore, goAggregator}, delay: delay,
			measure: func(ctx context.Context, b *testbed) ([]table, error) { return distance(ctx, b, delay) },
		})
	}
	return all
}

// bench measures the selected parts and writes the results.
func bench(ctx context.Context, o options) (err error) {
	selected := slices.DeleteFunc(parts(), func(p part) bool {
		return o.part != "" && !slices.Contains(strings.Split(o.part, ","), p.name)
	})
	if len(selected) == 0 {
		return fmt.Errorf("unknown part %q", o.part)
	}
	r := &results{Machine: machine(), For: o.length.String(), Rounds: o.rounds}
	if o.baseline != "" {
		version, err := exec.CommandContext(ctx, o.baseline, "--version").Output()
		if err != nil {
			return fmt.Errorf("%s --version: %w", o.baseline, err)
		}
		r.Baseline = strings.TrimSpace(string(version))
	}
	b := &testbed{options: o}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.start(ctx); err != nil {
		return err
	}
	if o.profile != "" {
		_, err := b.measurePart(ctx, part{name: "profile", variants: []string{weftNow}, measure: writeProfile})
		return err
	}
	for _, p := range selected {
		tables, err := b.measurePart(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		r.Tables = append(r.Tables, tables...)
	}
	return r.write(o.results)
}

// measurePart starts the variants of a part, measures it, and stops them.
func (b *testbed) measurePart(ctx context.Context, p part) (tables []table, err error) {
	if b.part, err = harness.NewSystem(b.weft); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.stopVariants()) }()
	fmt.Fprintf(os.Stderr, "bench: %s: starting the variants\n", p.name)
	if b.workers = p.workers; b.workers == 0 {
		b.workers = 2
	}
	if err := b.startVariants(ctx, p.variants, p.delay); err != nil {
		return nil, err
	}
	return p.measure(ctx, b)
}

// writeProfile writes a CPU profile of weft under load, in the format of pprof.
func writeProfile(ctx context.Context, b *testbed) ([]table, error) {
	weft := b.variant(weftNow)
	done := make(chan error, 1)
	go func() {
		seconds := max(1, int(b.length.Seconds()))
		text, err := get(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", weft.admin, seconds))
		if err == nil {
			err = os.WriteFile(b.profile, text, 0o644)
		}
		done <- err
	}()
	// The load lasts longer than the profile.
	_, err := b.measure(ctx, weft, load{connections: 32, path: userPath}, b.length+2*time.Second)
	return nil, errors.Join(err, <-done)
}
