package main

import (
	"fmt"
	"io"
	"slices"
)

// target is a figure that the project has set itself: a ratio of two variants or, where to is empty, what one has.
type target struct {
	what    string
	title   string // of the table
	of, to  string // variants
	figure  func(measurement) float64
	want    float64
	atLeast bool
}

func targets() []target {
	throughput := func(m measurement) float64 { return m.PerSec }
	p50 := func(m measurement) float64 { return m.P50 }
	finds := func(m measurement) float64 { return m.Finds }
	mebibytes := func(m measurement) float64 { return float64(m.RSS["sidecar"]) / (1 << 20) }
	const (
		noop, aggregator, mesh, fastAPI = "no-op ext_proc", "Go aggregator", "Go aggregator, in the mesh", "FastAPI aggregator"
		one, some, more, many           = "Closed loop, 1 connection", "Closed loop, 32 connections", "Closed loop, 64 connections", "Closed loop, 256 connections"
	)
	return []target{
		{what: "throughput, 32 connections", title: some, of: "weft", to: noop, figure: throughput, want: 0.95, atLeast: true},
		{what: "throughput, 256 connections", title: many, of: "weft", to: noop, figure: throughput, want: 1.05, atLeast: true},
		{what: "CPU per request, 32 connections", title: some, of: "weft", to: aggregator, figure: measurement.total, want: 0.60},
		{what: "CPU per request, 256 connections", title: many, of: "weft", to: aggregator, figure: measurement.total, want: 0.50},
		{what: "CPU per request, 32 connections", title: some, of: "weft", to: mesh, figure: measurement.total, want: 0.50},
		{what: "CPU per request, 32 connections", title: some, of: "weft", to: fastAPI, figure: measurement.total, want: 0.06},
		{what: "p50, 1 connection", title: one, of: "weft", to: noop, figure: p50, want: 1.05},
		{what: "p50, 1 connection", title: one, of: "weft", to: mesh, figure: p50, want: 1.00},
		// The legacy service alone is the longer of both: its 20 ms, and the way there through Envoy.
		{what: "p50, 20 ms longer on both sides", title: overlapTitle, of: "weft", to: "Envoy alone", figure: p50, want: 1.05},
		{what: "MongoDB commands per composite, 64 connections", title: more, of: "weft", figure: finds, want: 0.20},
		{what: "resident MiB, 256 connections", title: many, of: "weft", figure: mebibytes, want: 64},
		{what: "CPU per request, 1,000 rules", title: rulesTitle, of: thousand, to: "weft", figure: measurement.total, want: 1.02},
		{what: "CPU per request, a route without a rule", title: plainTitle, of: "Envoy with weft", to: "Envoy alone", figure: measurement.total, want: 1.02},
	}
}

// ratio returns the median of the rounds' ratios, and the least and the largest; false if one of the variants was not
// measured.
func (r *results) ratio(t target) (median, least, largest float64, ok bool) {
	of := r.find(t.title, t.of)
	if of == nil {
		return 0, 0, 0, false
	}
	var ratios []float64
	for i, m := range of.Rounds {
		by := 1.0
		if t.to != "" {
			to := r.find(t.title, t.to)
			if to == nil {
				return 0, 0, 0, false
			}
			by = t.figure(to.Rounds[i])
		}
		ratios = append(ratios, t.figure(m)/by)
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2], ratios[0], ratios[len(ratios)-1], true
}

// ratios writes what became of the targets.
func (r *results) ratios(w io.Writer) {
	fmt.Fprintf(w, "\n| | of | to | | least to largest | target | |\n|---|---|---|--:|--:|--:|---|\n")
	for _, t := range targets() {
		ratio, least, largest, ok := r.ratio(t)
		if !ok {
			continue
		}
		sign, met := "≤", "met"
		if t.atLeast {
			sign = "≥"
		}
		if t.atLeast && ratio < t.want || !t.atLeast && ratio > t.want {
			met = "**missed**"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %.2f | %.2f to %.2f | %s %.2f | %s |\n", t.what, t.of, t.to, ratio, least, largest, sign, t.want, met)
	}
	if of, to := r.find(overlapTitle, "weft"), r.find(overlapTitle, "Envoy alone"); of != nil && to != nil {
		fmt.Fprintf(w, "| the p50, 20 ms longer on both sides, to the sum | weft | Envoy alone and MongoDB's 20 ms | %.2f | | | |\n", of.P50/(to.P50+us(delay)))
	}
}
