package main

import (
	"fmt"
	"io"
	"slices"
)

// target is a goal of the project: a ratio of two rows of a table or, if to is empty, a figure of one row.
type target struct {
	title, what string
	of, to      string
	figure      func(measurement) float64
	want        float64 // 0 means that the ratio is only shown
	atLeast     bool    // want is a minimum, not a maximum
}

func throughput(m measurement) float64 { return m.PerSec }
func p50(m measurement) float64        { return m.P50 }
func commands(m measurement) float64   { return m.Commands }

func targets() (all []target) {
	for _, e := range endpoints() {
		one, some := closedLoop(1, e.name), closedLoop(32, e.name)
		more, many := closedLoop(64, e.name), closedLoop(256, e.name)
		all = append(all, []target{
			{title: some, what: "throughput", of: weftNow, to: noopExtProc, figure: throughput, want: 0.95, atLeast: true},
			{title: many, what: "throughput", of: weftNow, to: noopExtProc, figure: throughput, want: 1.05, atLeast: true},
			{title: some, what: "CPU", of: weftNow, to: goAggregator, figure: measurement.totalCPU, want: 0.60},
			{title: many, what: "CPU", of: weftNow, to: goAggregator, figure: measurement.totalCPU, want: 0.50},
			{title: some, what: "CPU", of: weftNow, to: goAggregatorInMesh, figure: measurement.totalCPU, want: 0.50},
			{title: some, what: "CPU", of: weftNow, to: fastAPIAggregator, figure: measurement.totalCPU, want: 0.06},
			{title: one, what: "p50", of: weftNow, to: noopExtProc, figure: p50, want: 1.05},
			{title: one, what: "p50", of: weftNow, to: goAggregatorInMesh, figure: p50, want: 1.00},
			{title: more, what: "MongoDB commands/composite", of: weftNow, figure: commands, want: 0.20},
			{
				title: many, what: "resident MiB", of: weftNow, want: 64,
				figure: func(m measurement) float64 { return m.RSS["sidecar"] / (1 << 20) },
			},
		}...)
		for _, suffix := range []string{"", oneWorker} {
			all = append(all, moduleTargets(one+suffix, some+suffix, many+suffix)...)
		}
		for _, title := range []string{some, many} {
			all = append(all,
				target{title: title, what: "throughput", of: weftNow, to: weftBefore, figure: throughput},
				target{title: title, what: "CPU", of: weftNow, to: weftBefore, figure: measurement.totalCPU})
		}
		all = append(all, target{title: one, what: "p50", of: weftNow, to: weftBefore, figure: p50})
	}
	return append(all, []target{
		// Envoy alone waits for the legacy service, the slower of both calls.
		{title: overlapTitle, what: "p50", of: weftNow, to: envoyAlone, figure: p50, want: 1.05},
		{title: thousandRuleTitle, what: "CPU", of: thousandRules, to: weftNow, figure: measurement.totalCPU, want: 1.02},
		{title: noRuleTitle, what: "CPU", of: weftNow, to: envoyAlone, figure: measurement.totalCPU, want: 1.02},
	}...)
}

// moduleTargets returns the targets of weft in Envoy's process, each with the ratio of the no-op module, which is the
// limit of modules that replace bodies. Its parameters are the titles of the loops of 1, 32 and 256 connections.
func moduleTargets(one, some, many string) (all []target) {
	for _, t := range []target{
		{title: some, what: "throughput", to: noopExtProc, figure: throughput, want: 1.40, atLeast: true},
		{title: many, what: "throughput", to: noopExtProc, figure: throughput, want: 1.40, atLeast: true},
		{title: some, what: "throughput", to: envoyAlone, figure: throughput, want: 0.55, atLeast: true},
		{title: many, what: "throughput", to: envoyAlone, figure: throughput, want: 0.55, atLeast: true},
		{title: some, what: "CPU", to: goAggregator, figure: measurement.totalCPU, want: 0.40},
		{title: some, what: "CPU", to: goAggregatorInMesh, figure: measurement.totalCPU, want: 0.30},
		{title: some, what: "CPU", to: fastAPIAggregator, figure: measurement.totalCPU, want: 0.04},
		{title: one, what: "p50", to: noopExtProc, figure: p50, want: 0.72},
		{title: one, what: "p50", to: goAggregator, figure: p50, want: 0.75},
	} {
		t.of = weftInEnvoy
		all = append(all, t)
		t.of, t.want = noopModule, 0
		all = append(all, t)
	}
	return append(all, target{
		title: many, what: "resident MiB of Envoy and weft", of: weftInEnvoy, to: weftNow, want: 1.00, figure: residentWeft,
	})
}

// residentWeft is the resident memory of Envoy and weft together.
func residentWeft(m measurement) float64 { return m.RSS["Envoy"] + m.RSS["sidecar"] }

// distanceTargets are those of the part distance: a connection does not wait for the reads of others. The p50 of the
// aggregator, which shares no reads, shows what the CPUs of the machine allow.
func distanceTargets() (all []target) {
	for _, delay := range distances() {
		title := distanceTitle(delay)
		if delay == 0 {
			for _, n := range []int{64, 256} {
				of, to := distanceRow(weftNow, n), distanceRow(weftBefore, n)
				all = append(all,
					target{title: title, what: "MongoDB commands/composite", of: of, to: to, figure: commands, want: 1.00},
					target{title: title, what: "CPU", of: of, to: to, figure: measurement.totalCPU, want: 1.00})
			}
			continue
		}
		one, two := distanceRow(weftNow, 1), distanceRow(weftNow, 2)
		all = append(all, target{
			title: title, what: "throughput", of: two, to: one, figure: throughput, want: 1.9, atLeast: true,
		})
		for _, n := range []int{2, 4, 16, 64} {
			of := distanceRow(weftNow, n)
			all = append(all, target{title: title, what: "p50", of: of, to: one, figure: p50, want: 1.10})
		}
		for _, n := range []int{16, 64} {
			of, to := distanceRow(goAggregator, n), distanceRow(goAggregator, 1)
			all = append(all, target{title: title, what: "p50", of: of, to: to, figure: p50})
		}
	}
	return all
}

// ratio returns the median of the ratios within each round, the least and the largest. It returns false if a row was
// not measured.
func (r *results) ratio(t target) (median, least, largest float64, ok bool) {
	of, to := r.find(t.title, t.of), r.find(t.title, t.to)
	if of == nil || to == nil && t.to != "" {
		return 0, 0, 0, false
	}
	var ratios []float64
	for i, m := range of.Rounds {
		divisor := 1.0
		if to != nil {
			divisor = t.figure(to.Rounds[i])
		}
		ratios = append(ratios, t.figure(m)/divisor)
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], true
}

// compare writes a table of the measured targets, if any.
func (r *results) compare(w io.Writer, title string, targets []target) {
	header := "\n**" + title + "**\n\n| | of | to | | least to largest | target | |\n|---|---|---|--:|--:|--:|---|\n"
	for _, t := range targets {
		ratio, least, largest, ok := r.ratio(t)
		if !ok {
			continue
		}
		want, met := "", ""
		if t.want > 0 {
			sign, isMet := "≤", ratio <= t.want
			if t.atLeast {
				sign, isMet = "≥", ratio >= t.want
			}
			want, met = fmt.Sprintf("%s %.2f", sign, t.want), "**missed**"
			if isMet {
				met = "met"
			}
		}
		fmt.Fprintf(w, "%s| %s: %s | %s | %s | %.2f | %.2f to %.2f | %s | %s |\n",
			header, t.title, t.what, t.of, t.to, ratio, least, largest, want, met)
		header = ""
	}
}
