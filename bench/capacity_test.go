package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"
	"text/template"
)

//go:embed capacity.md.tmpl
var capacityTemplate string

// capacityOf are weft's figures under one load, per composite.
type capacityOf struct {
	Name                string
	Rate                float64 // composites/s
	Weft, Envoy, Mongod float64 // µs
	Cores, Commands     string
}

// capacity is what docs/kubernetes.md says.
type capacity struct {
	CPUs                                    string
	Loads                                   []capacityOf
	Busy, Idle                              capacityOf
	LeastCores, MostCores                   string
	ReplicaBusy, ReplicaIdle, Target        float64 // composites/s
	Replicas, MiB, LargeCores               int
	EnvoyAlone, EnvoyMore, AggregatorMongod float64 // µs
	Batched, Member, TwoMembers             float64 // commands/s, composites/s
}

// TestCapacity compares the tables in docs/performance.md, the arithmetic in docs/kubernetes.md, and the target of the autoscalers in
// k8s/, with bench/results, from which they are made.
func TestCapacity(t *testing.T) {
	text, err := os.ReadFile("results/results.json")
	if err != nil {
		t.Fatal(err)
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	c := capacityFrom(t, &r)
	var section strings.Builder
	functions := template.FuncMap{
		"n":     thousands,
		"cores": func(us float64) string { return fmt.Sprintf("%.2f", 10_000*math.Round(us)/1e6) },
	}
	if err := template.Must(template.New("").Funcs(functions).Parse(capacityTemplate)).Execute(&section, c); err != nil {
		t.Fatal(err)
	}
	for _, made := range []struct {
		file string
		part *regexp.Regexp // the group is what is made
		want string
	}{
		{"../docs/performance.md", regexp.MustCompile(`(?s)\n<!-- Made from [^\n]*-->\n(.*?)<!-- until here -->`), performance(&r)},
		{"../docs/kubernetes.md", regexp.MustCompile(`(?s)\n(## How much it carries\n.*)$`), section.String()},
		{"../k8s/components/monitoring/exchange-rate.yaml", regexp.MustCompile(`averageValue: "(\d+)"`), fmt.Sprint(c.Target)},
		{"../k8s/chart/values.yaml", regexp.MustCompile(`targetExchangesPerSecond: (\d+)`), fmt.Sprint(c.Target)},
	} {
		text, err := os.ReadFile(made.file)
		if err != nil {
			t.Fatal(err)
		}
		at := made.part.FindSubmatchIndex(text)
		if at == nil {
			t.Errorf("%s has nothing like %s", made.file, made.part)
			continue
		}
		if string(text[at[2]:at[3]]) == made.want {
			continue
		}
		if !*update {
			t.Errorf("%s is not of bench/results; run: cd bench && go test -run TestCapacity -update .\nis:\n%s\nshould be:\n%s", made.file, text[at[2]:at[3]], made.want)
			continue
		}
		if err := os.WriteFile(made.file, []byte(string(text[:at[2]])+made.want+string(text[at[3]:])), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// performance is what docs/performance.md shows of the results.
func performance(r *results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %d rounds of %s. [All tables](../bench/results/results.md), with what each process used, and [every round](../bench/results/results.json).\n",
		r.Machine, r.Rounds, r.For)
	r.ratios(&b)
	fmt.Fprint(&b, "\n![CPU of one request by process](../bench/results/results.svg)\n")
	for i := range r.Tables {
		switch t := &r.Tables[i]; t.Title {
		case "Closed loop, 1 connection", "Closed loop, 32 connections", "Closed loop, 256 connections":
			fmt.Fprintf(&b, "\n**%s**\n\n", t.Title)
			t.markdown(&b)
		}
	}
	fmt.Fprint(&b, "\n**Where the microseconds go, at 32 connections**\n\n")
	for i := range r.Tables {
		if t := &r.Tables[i]; t.Title == "Closed loop, 32 connections" {
			t.profile(&b, "alone,no-op,weft,Go aggregator")
		}
	}
	return b.String()
}

func capacityFrom(t *testing.T, r *results) capacity {
	t.Helper()
	find := func(title, variant string) measurement {
		row := r.find(title, variant)
		if row == nil {
			t.Fatalf("bench/results has no %q in %q: run make bench without -only and -part", variant, title)
		}
		return row.measurement
	}
	const busy = "Closed loop, 32 connections"
	var c capacity
	c.CPUs, _, _ = strings.Cut(r.Machine, " ")
	least, most := math.Inf(1), 0.0
	for _, title := range []string{
		"Closed loop, 1 connection", "Open loop, 25 % of what each can do", "Open loop, 50 % of what each can do", busy, "Closed loop, 256 connections",
	} {
		m := find(title, "weft")
		cores := m.PerSec * m.CPU["sidecar"] / 1e6
		least, most = min(least, cores), max(most, cores)
		load := capacityOf{
			Name: strings.ToLower(title[:1]) + title[1:], Rate: math.Round(m.PerSec), Weft: math.Round(m.CPU["sidecar"]), Envoy: math.Round(m.CPU["Envoy"]),
			Mongod: math.Round(m.CPU["mongod"]), Cores: fmt.Sprintf("%.2f", cores), Commands: fmt.Sprintf("%.2f", m.Finds),
		}
		c.Loads = append(c.Loads, load)
		if title == busy {
			c.Busy = load
			c.Batched = hundreds(10_000 * m.Finds)
		}
	}
	c.Idle = c.Loads[0]
	c.LeastCores, c.MostCores = fmt.Sprintf("%.2f", least), fmt.Sprintf("%.2f", most)
	c.EnvoyAlone = math.Round(find(busy, "Envoy alone").CPU["Envoy"])
	c.EnvoyMore = c.Busy.Envoy - c.EnvoyAlone
	c.AggregatorMongod = math.Round(find(busy, "Go aggregator").CPU["mongod"])
	const inUse = 0.250 * 0.70 * 1e6 // of the CPU that a replica asks for, in µs a second
	c.ReplicaBusy, c.ReplicaIdle = math.Floor(inUse/c.Busy.Weft), math.Floor(inUse/c.Idle.Weft)
	c.Target = 100 * math.Floor(c.ReplicaBusy/100)
	c.Replicas = int(math.Ceil(10_000 / c.Target))
	c.MiB = int(find("Closed loop, 256 connections", "weft").RSS["sidecar"] >> 20)
	c.LargeCores = (256 - c.MiB) / 3
	c.Member = hundreds(1e6 / c.Busy.Mongod)
	c.TwoMembers = 2 * c.Member
	return c
}

func hundreds(x float64) float64 { return 100 * math.Round(x/100) }

// thousands is a whole number as in 12,345.
func thousands(x float64) string {
	text := fmt.Sprintf("%.0f", x)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
