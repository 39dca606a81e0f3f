package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// results are those of one run.
type results struct {
	Machine string  `json:"machine"`
	Users   int     `json:"users"`
	Tables  []table `json:"tables"`
}

// table is what all variants did under one load.
type table struct {
	Title       string `json:"title"`
	Connections int    `json:"connections"`
	Rows        []row  `json:"rows"`
}

type row struct {
	Variant string `json:"variant"`
	measurement
}

// target is a ratio that the project has set itself.
type target struct {
	what        string
	connections int
	of, to      string // variants
	figure      func(measurement) float64
	want        float64
	atLeast     bool
}

func targets() []target {
	throughput := func(m measurement) float64 { return m.PerSec }
	p50 := func(m measurement) float64 { return m.P50 }
	const noop, aggregator, mesh, fastAPI = "no-op ext_proc", "Go aggregator", "Go aggregator, in the mesh", "FastAPI aggregator"
	return []target{
		{"throughput", 32, "weft", noop, throughput, 0.95, true},
		{"throughput", 256, "weft", noop, throughput, 1.05, true},
		{"CPU per request", 32, "weft", aggregator, measurement.total, 0.60, false},
		{"CPU per request", 256, "weft", aggregator, measurement.total, 0.50, false},
		{"CPU per request", 32, "weft", mesh, measurement.total, 0.50, false},
		{"CPU per request", 32, "weft", fastAPI, measurement.total, 0.06, false},
		{"p50", 1, "weft", noop, p50, 1.05, false},
		{"p50", 1, "weft", mesh, p50, 1.00, false},
	}
}

func (r *results) find(connections int, variant string) (measurement, bool) {
	for _, t := range r.Tables {
		for _, row := range t.Rows {
			if t.Connections == connections && row.Variant == variant {
				return row.measurement, true
			}
		}
	}
	return measurement{}, false
}

// write writes results.md and results.json into a folder, and the first to stdout.
func (r *results) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	var b strings.Builder
	r.markdown(&b)
	fmt.Print(b.String())
	return os.WriteFile(filepath.Join(folder, "results.md"), []byte(b.String()), 0o644)
}

func (r *results) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Results of make bench\n\n%s. Each request is for a random one of %d users. Medians of the rounds.\n", r.Machine, r.Users)
	fmt.Fprintf(w, "\n| ratio | of | to | | target | |\n|---|---|---|--:|--:|---|\n")
	for _, t := range targets() {
		of, ok := r.find(t.connections, t.of)
		to, okTo := r.find(t.connections, t.to)
		if !ok || !okTo {
			continue
		}
		ratio, sign, met := t.figure(of)/t.figure(to), "≤", "met"
		if t.atLeast {
			sign = "≥"
		}
		if t.atLeast && ratio < t.want || !t.atLeast && ratio > t.want {
			met = "**missed**"
		}
		fmt.Fprintf(w, "| %s, %d connections | %s | %s | %.2f | %s %.2f | %s |\n", t.what, t.connections, t.of, t.to, ratio, sign, t.want, met)
	}
	weft, ok := r.find(0, "weft")
	if alone, okAlone := r.find(0, "Envoy alone"); ok && okAlone {
		met := "met"
		if weft.P50/alone.P50 > 1.05 {
			met = "**missed**"
		}
		// The legacy service alone is the longer of both: its 20 ms, and the way there through Envoy.
		fmt.Fprintf(w, "| p50, 20 ms longer on both sides | weft | Envoy alone: the longer of both | %.2f | ≤ 1.05 | %s |\n", weft.P50/alone.P50, met)
		fmt.Fprintf(w, "| the same | weft | that and MongoDB's 20 ms: the sum of both | %.2f | | |\n", weft.P50/(alone.P50+us(delay)))
	}
	if m, ok := r.find(256, "weft"); ok {
		fmt.Fprintf(w, "\nAt 256 connections weft has %d MiB resident, and MongoDB gets %.2f commands for each composite.\n", m.RSS["sidecar"]>>20, m.Finds)
	}
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n## %s\n\n", t.Title)
		fmt.Fprintln(w, "| | req/s | p50 µs | p99 µs | p99.9 µs | CPU µs/request | Envoy | sidecar or aggregator | mongod | legacy service | MongoDB commands/request |")
		fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
		for _, row := range t.Rows {
			m := row.measurement
			fmt.Fprintf(w, "| %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.2f |\n", row.Variant, m.PerSec, m.P50, m.P99, m.P999, m.total(),
				m.CPU["Envoy"]+m.CPU["Envoy to the legacy service"], m.CPU["sidecar"]+m.CPU["aggregator"], m.CPU["mongod"], m.CPU["legacy service"], m.Finds)
		}
	}
}

// machine describes where this ran.
func machine() string {
	model := ""
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(info), "model name\t: ")
		model, _, _ = strings.Cut(rest, "\n")
	}
	return strings.TrimSpace(fmt.Sprintf("%d CPUs %s, %s, Envoy 1.40.0, MongoDB 6.0.5", runtime.NumCPU(), model, runtime.Version()))
}
