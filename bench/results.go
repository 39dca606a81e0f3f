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

// results are those of one run of the benchmark.
type results struct {
	Machine  string  `json:"machine"`
	Baseline string  `json:"baseline,omitempty"` // version of the weft before
	For      string  `json:"measurement_length"`
	Rounds   int     `json:"rounds"`
	Tables   []table `json:"tables"`
}

// table has the rows of one interleaved measurement.
type table struct {
	Title string `json:"title"`
	Rows  []row  `json:"rows"`
}

// row has the medians of its rounds.
type row struct {
	Name string `json:"name"`
	measurement
	Rounds []measurement `json:"rounds"`
}

// find returns a row, or nil if it was not measured.
func (r *results) find(title, name string) *row {
	for t := range r.Tables {
		for i := range r.Tables[t].Rows {
			if row := &r.Tables[t].Rows[i]; r.Tables[t].Title == title && row.Name == name {
				return row
			}
		}
	}
	return nil
}

// write writes results.json, with every round, results.md and results.svg into a directory, and the tables to stdout.
func (r *results) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), text, 0o644); err != nil {
		return err
	}
	var b strings.Builder
	r.markdown(&b)
	fmt.Print(b.String())
	if err := os.WriteFile(filepath.Join(dir, "results.md"), []byte(b.String()), 0o644); err != nil {
		return err
	}
	return r.chart(filepath.Join(dir, "results.svg"))
}

func (r *results) markdown(w io.Writer) {
	fmt.Fprintf(w, "# Results of make bench\n\n%s.\n"+
		"%d rounds of %s for each row; each request is for a random one of %s users.\n"+
		"The tables have the medians of the rounds, and a ratio is the median of the ratios within each round.\n",
		r.Machine, r.Rounds, r.For, thousands(users))
	if r.Baseline != "" {
		fmt.Fprintf(w, "*%s* is %s.\n", weftBefore, r.Baseline)
	}
	r.compare(w, "Targets", targets())
	r.compare(w, "Targets with MongoDB at a distance", distanceTargets())
	for _, t := range r.Tables {
		fmt.Fprintf(w, "\n## %s\n\n", t.Title)
		t.markdown(w)
	}
}

func (t *table) markdown(w io.Writer) {
	fmt.Fprint(w, "| | req/s | p50 µs | p99 µs | p99.9 µs | CPU µs/request | Envoy | sidecar or aggregator | mongod "+
		"| legacy service | load generator, delay proxy | CPUs in use | MongoDB commands/request "+
		"| sidecar or aggregator MiB | weft's allocations/request |\n"+
		"|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, row := range t.Rows {
		m := row.measurement
		mallocs := ""
		if m.Mallocs > 0 {
			mallocs = fmt.Sprintf("%.0f", m.Mallocs)
		}
		fmt.Fprintf(w, "| %s | %.0f | %.0f | %.0f | %.0f "+
			"| %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %.2f | %.2f | %.0f | %s |\n",
			row.Name, m.PerSec, m.P50, m.P99, m.P999, m.totalCPU(), m.envoyCPU(), m.serverCPU(), m.CPU["mongod"],
			m.CPU["legacy service"], m.benchCPU(), m.cpusInUse(), m.Commands,
			(m.RSS["sidecar"]+m.RSS["aggregator"])/(1<<20), mallocs)
	}
}

func (m measurement) envoyCPU() float64  { return m.CPU["Envoy"] + m.CPU["Envoy to the legacy service"] }
func (m measurement) serverCPU() float64 { return m.CPU["sidecar"] + m.CPU["aggregator"] }

// machine describes the machine and the servers.
func machine() string {
	model := ""
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(info), "model name\t: ")
		model, _, _ = strings.Cut(rest, "\n")
	}
	return fmt.Sprintf("%d CPUs %s, %s, Envoy 1.40.0, MongoDB 6.0.5", runtime.NumCPU(), model, runtime.Version())
}

// thousands formats a whole number as in 12,345.
func thousands(x float64) string {
	text := fmt.Sprintf("%.0f", x)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
