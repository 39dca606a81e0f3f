package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBench runs all of it shortly, but for FastAPI, whose libraries a test is not to fetch. What it measures is not looked
// at: times are for people.
func TestBench(t *testing.T) {
	bin := t.TempDir()
	for folder, name := range map[string]string{"..": "weft", ".": "bench"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(bin, name), ".")
		build.Dir = folder
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, output)
		}
	}
	results := t.TempDir()
	bench := exec.CommandContext(t.Context(), filepath.Join(bin, "bench"), "-weft", filepath.Join(bin, "weft"), "-results", results, "-for", "150ms", "-rounds", "1")
	if output, err := bench.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	text, err := os.ReadFile(filepath.Join(results, "results.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, variant := range []string{"Envoy alone", "no-op ext_proc", "weft", "Go aggregator", "Go aggregator, in the mesh"} {
		if n := strings.Count(string(text), "\n| "+variant+" |"); n != 4 {
			t.Errorf("%s is in %d tables of\n%s", variant, n, text)
		}
	}
}

func TestMedian(t *testing.T) {
	m := median([]measurement{
		{Requests: 1, PerSec: 5, CPU: map[string]float64{"a": 1}},
		{Requests: 2, PerSec: 1, CPU: map[string]float64{"a": 7}},
		{Requests: 3, PerSec: 3, CPU: map[string]float64{"a": 2}},
	})
	if m.Requests != 6 || m.PerSec != 3 || m.CPU["a"] != 2 || m.total() != 2 {
		t.Errorf("%+v", m)
	}
}

func TestTargets(t *testing.T) {
	r := results{Tables: []table{{Connections: 32, Rows: []row{
		{Variant: "weft", measurement: measurement{PerSec: 96}}, {Variant: "no-op ext_proc", measurement: measurement{PerSec: 100}},
	}}, {Connections: 256, Rows: []row{
		{Variant: "weft", measurement: measurement{PerSec: 96}}, {Variant: "no-op ext_proc", measurement: measurement{PerSec: 100}},
	}}}}
	var b strings.Builder
	r.markdown(&b)
	for _, want := range []string{"| throughput, 32 connections | weft | no-op ext_proc | 0.96 | ≥ 0.95 | met |", "| throughput, 256 connections | weft | no-op ext_proc | 0.96 | ≥ 1.05 | **missed** |"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

func TestCPUTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for {
		now, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if now >= before+20*time.Millisecond { // this loop uses it
			return
		}
	}
}
