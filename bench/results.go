package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// results are those of one run.
type results struct {
	Machine string  `json:"machine"`
	Users   int     `json:"users"`
	For     string  `json:"each_measurement_takes"`
	Rounds  int     `json:"rounds"`
	Tables  []table `json:"tables"`
}

// table is what all variants did under one load, or one variant under several.
type table struct {
	Title       string `json:"title"`
	Connections int    `json:"connections"`
	Rows        []row  `json:"rows"`
}

// row is the median of some rounds.
type row struct {
	Variant string `json:"variant"`
	measurement
	Rounds []measurement `json:"rounds"`
}

// find returns the row of a variant in a table; nil if it was not measured.
func (r *results) find(title, variant string) *row {
	for t := range r.Tables {
		for i := range r.Tables[t].Rows {
			if row := &r.Tables[t].Rows[i]; r.Tables[t].Title == title && row.Variant == variant {
				return row
			}
		}
	}
	return nil
}

// write writes results.md and results.json into a folder, and the first to stdout.
func (r *results) write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	var b strings.Builder
	r.markdown(&b)
	fmt.Print(b.String())
	if err := os.WriteFile(filepath.Join(folder, "results.md"), []byte(b.String()), 0o644); err != nil {
		return err
	}
	return r.chart(filepath.Join(folder, "results.svg"))
}

func (r *results) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Results of make bench\n\n%s. Each request is for a random one of %d users. Each measurement takes %s; the tables have the medians of %d rounds, in which "+
		"the variants take turns. A ratio is the median of the rounds' ratios, with the least and the largest of them.\n", r.Machine, r.Users, r.For, r.Rounds)
	r.ratios(w)
	r.profiles(w)
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n## %s\n\n", t.Title)
		if len(t.Rows) > 0 && t.Rows[0].Instructions > 0 {
			t.instructions(w)
		} else {
			t.markdown(w)
		}
	}
}

func (t *table) markdown(w io.Writer) {
	fmt.Fprintln(w, "| | req/s | p50 µs | p99 µs | p99.9 µs | CPU µs/request | Envoy | sidecar or aggregator | mongod | legacy service | MongoDB commands/request | sidecar or aggregator MiB | weft's allocations/request |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, row := range t.Rows {
		m := row.measurement
		allocations := ""
		if m.Mallocs > 0 {
			allocations = fmt.Sprintf("%.0f", m.Mallocs)
		}
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.2f | %d | %s |\n", row.Variant, m.PerSec, m.P50, m.P99, m.P999, m.total(),
			m.CPU["Envoy"]+m.CPU["Envoy to the legacy service"], m.CPU["sidecar"]+m.CPU["aggregator"], m.CPU["mongod"], m.CPU["legacy service"], m.Finds,
			(m.RSS["sidecar"]+m.RSS["aggregator"])>>20, allocations)
	}
}

// profiles say which process spends the time of a request, and how.
func (r *results) profiles(w io.Writer) {
	for _, t := range r.Tables {
		if strings.HasPrefix(t.Title, "Closed loop") {
			fmt.Fprintf(w, "\n## Where the time goes: %s\n\n", t.Title)
			t.profile(w, "")
		}
	}
}

// profile is of the variants that have one of the words in their names.
func (t *table) profile(w io.Writer, words string) {
	fmt.Fprintf(w, "| | CPU µs/request | of that the kernel's | context switches/request |\n|---|--:|--:|--:|\n")
	for _, row := range t.Rows {
		for _, name := range slices.Sorted(maps.Keys(row.CPU)) {
			if contains(words, row.Variant) && row.CPU[name] >= 1 {
				fmt.Fprintf(w, "| %s: %s | %.0f | %.0f | %.2f |\n", row.Variant, name, row.CPU[name], row.Kernel[name], row.Switches[name])
			}
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
