package main

import (
	_ "embed"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"text/template"
)

//go:embed capacity.md.tmpl
var capacityTemplate string

// TestDocs checks that everything generated from bench/results/results.md is up to date: the figures in
// docs/performance.md, the capacity in docs/kubernetes.md, and the target of the autoscalers in k8s/.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("results/results.md")
	if err != nil {
		t.Fatal(err)
	}
	c := newCapacity(t, string(text))
	var section strings.Builder
	functions := template.FuncMap{
		"n":     thousands,
		"cores": func(us float64) string { return fmt.Sprintf("%.2f", 10_000*us/1e6) },
	}
	if err := template.Must(template.New("").Funcs(functions).Parse(capacityTemplate)).Execute(&section, c); err != nil {
		t.Fatal(err)
	}
	for _, generated := range []struct {
		file string
		part *regexp.Regexp // its group is generated
		want string
	}{
		{
			"../docs/performance.md",
			regexp.MustCompile(`(?s)<!-- Generated from [^\n]*-->\n(.*?)<!-- End of the generated part -->`),
			summary(string(text)),
		},
		{"../docs/kubernetes.md", regexp.MustCompile(`(?s)\n(## How much it carries\n.*)$`), section.String()},
		{
			"../k8s/components/monitoring/exchange-rate.yaml",
			regexp.MustCompile(`averageValue: "(\d+)"`), fmt.Sprint(c.Target),
		},
		{"../k8s/chart/values.yaml", regexp.MustCompile(`targetExchangesPerSecond: (\d+)`), fmt.Sprint(c.Target)},
	} {
		text, err := os.ReadFile(generated.file)
		if err != nil {
			t.Fatal(err)
		}
		at := generated.part.FindSubmatchIndex(text)
		if at == nil {
			t.Errorf("%s has no match of %s", generated.file, generated.part)
			continue
		}
		if string(text[at[2]:at[3]]) == generated.want {
			continue
		}
		if !*update {
			t.Errorf("%s differs from bench/results/results.md; run: cd bench && go test -run TestDocs -update .\n"+
				"is:\n%s\nshould be:\n%s", generated.file, text[at[2]:at[3]], generated.want)
			continue
		}
		updated := string(text[:at[2]]) + generated.want + string(text[at[3]:])
		if err := os.WriteFile(generated.file, []byte(updated), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// summary returns what docs/performance.md shows of results.md: the method, how many targets are met, and the main
// figures of each variant.
func summary(results string) string {
	_, text, _ := strings.Cut(results, "\n\n")
	method, text, _ := strings.Cut(text, "**Targets**")
	method, _, _ = strings.Cut(method, "*weft before*")
	targets, _, _ := strings.Cut(text, "\n## ")
	met, missed := strings.Count(targets, "| met |"), strings.Count(targets, "| **missed** |")
	var shown strings.Builder
	fmt.Fprintf(&shown, "%s\n\n%d of %d [targets](../bench/results/results.md) are met.\n\n",
		strings.TrimSpace(method), met, met+missed)
	shown.WriteString("| `/api/v1` | p50, 1 connection | requests/s, 32 connections | CPU " +
		"| requests/s, 256 connections | CPU |\n|---|--:|--:|--:|--:|--:|\n")
	tables := readResults(results)
	at := func(load, variant, column string) string {
		return thousands(tables["Closed loop, "+load+", /api/v1/users/{id}"][variant][column])
	}
	for _, v := range []string{
		"Envoy alone", "no-op ext_proc", "no-op module", "weft", "weft in Envoy", "Go aggregator",
		"Go aggregator, in the mesh", "FastAPI aggregator",
	} {
		if at("32 connections", v, "req/s") == "0" {
			continue // the results are of a run without the variant
		}
		fmt.Fprintf(&shown, "| %s | %s µs | %s | %s µs | %s | %s µs |\n", v, at("1 connection", v, "p50 µs"),
			at("32 connections", v, "req/s"), at("32 connections", v, "CPU µs/request"),
			at("256 connections", v, "req/s"), at("256 connections", v, "CPU µs/request"))
	}
	return shown.String()
}

// readResults returns the tables of a results.md: figures by title, row and column.
func readResults(text string) map[string]map[string]map[string]float64 {
	tables := map[string]map[string]map[string]float64{}
	_, text, _ = strings.Cut(text, "\n## ") // after the targets
	for section := range strings.SplitSeq(text, "\n## ") {
		title, body, _ := strings.Cut(section, "\n\n")
		var columns []string
		tables[title] = map[string]map[string]float64{}
		for line := range strings.Lines(body) {
			cells := strings.Split(strings.Trim(line, "| \n"), " | ")
			if columns == nil {
				columns = append([]string{""}, cells...) // the first column has no name
				continue
			}
			row := map[string]float64{}
			for i, cell := range cells[1:] {
				if n, err := strconv.ParseFloat(cell, 64); err == nil {
					row[columns[i+1]] = n
				}
			}
			if len(row) > 0 {
				tables[title][cells[0]] = row
			}
		}
	}
	return tables
}

// capacity has the figures of the template.
type capacity struct {
	CPUs                             string
	Loads                            []capacityLoad
	Busy, Idle                       capacityLoad
	ReplicaBusy, ReplicaIdle, Target float64 // composites/s
	Replicas, MiB, LargeCores        int
	EnvoyAlone, EnvoyMore            float64 // µs per composite
	AggregatorMongod                 float64 // µs per composite
	BatchedCommands                  float64 // per 10,000 composites
	Member                           float64 // composites/s
}

// capacityLoad has weft's figures under one load.
type capacityLoad struct {
	Name                string
	Rate                float64 // composites/s
	Weft, Envoy, Mongod float64 // CPU µs per composite
	Commands            float64 // of MongoDB per composite
}

func newCapacity(t *testing.T, text string) (c capacity) {
	t.Helper()
	tables := readResults(text)
	row := func(title, name string) map[string]float64 {
		r := tables[title][name]
		if r == nil {
			t.Fatalf("bench/results/results.md has no row %q in %q; run make bench without -only and -part", name, title)
		}
		return r
	}
	path := endpoints()[0].name
	busy := closedLoop(32, path)
	c.CPUs = regexp.MustCompile(`(?m)^\d+`).FindString(text)
	for _, load := range []struct{ name, title string }{
		{"closed loop, 1 connection", closedLoop(1, path)},
		{"open loop, 25 % of the capacity", openLoop(25)},
		{"open loop, 50 % of the capacity", openLoop(50)},
		{"closed loop, 32 connections", busy},
		{"closed loop, 256 connections", closedLoop(256, path)},
	} {
		r := row(load.title, weftNow)
		c.Loads = append(c.Loads, capacityLoad{
			Name: load.name, Rate: r["req/s"], Weft: r["sidecar or aggregator"], Envoy: r["Envoy"], Mongod: r["mongod"],
			Commands: r["MongoDB commands/request"],
		})
	}
	c.Idle, c.Busy = c.Loads[0], c.Loads[3]
	const inUse = 0.250 * 0.70 * 1e6 // µs/s: the CPU request of a replica, and the autoscaler's target
	c.ReplicaBusy, c.ReplicaIdle = math.Floor(inUse/c.Busy.Weft), math.Floor(inUse/c.Idle.Weft)
	c.Target = 100 * math.Floor(c.ReplicaBusy/100)
	c.Replicas = int(math.Ceil(10_000 / c.Target))
	c.MiB = int(row(closedLoop(256, path), weftNow)["sidecar or aggregator MiB"])
	c.LargeCores = (256 - c.MiB) / 3
	c.EnvoyAlone = row(busy, envoyAlone)["Envoy"]
	c.EnvoyMore = c.Busy.Envoy - c.EnvoyAlone
	c.AggregatorMongod = row(busy, goAggregator)["mongod"]
	c.BatchedCommands = 10_000 * c.Busy.Commands
	c.Member = 100 * math.Round(1e4/c.Busy.Mongod)
	return c
}
