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
	for variant, tables := range map[string]int{"Envoy alone": 8, "no-op ext_proc": 10, "weft": 12, "head and body changed": 3, "Go aggregator": 7, "Go aggregator, in the mesh": 7, "1 MB": 2, "1024": 1, "weft with 1000 rules": 1, "weft: mongod": 4, "the no-op on weft's gRPC server": 3} {
		if n := strings.Count(string(text), "\n| "+variant+" |"); n != tables {
			t.Errorf("%s is in %d tables, want %d, of\n%s", variant, n, tables, text)
		}
	}
	if chart, err := os.ReadFile(filepath.Join(results, "results.svg")); err != nil || !strings.Contains(string(chart), "Go aggregator, in the mesh") {
		t.Errorf("chart: %v, %.200s", err, chart)
	}
}

// TestIsComposite: an answer that is another user's, or lacks a half, does not count.
func TestIsComposite(t *testing.T) {
	for body, want := range map[string]bool{
		`{"core":{"userId": 7, "pad": ""},"extension":{"userId":7,"tags":[]},"errors":[]}`:  true,
		`{"core":{"userId":7,"pad":""},"extension":{"userId":7,"tags":[]},"errors":[]}`:     true,
		`{"core":{"userId": 8, "pad": ""},"extension":{"userId":7,"tags":[]},"errors":[]}`:  false,
		`{"core":{"userId": 7, "pad": ""},"extension":{"userId":77,"tags":[]},"errors":[]}`: false,
		`{"core":null,"extension":{"userId":7,"tags":[]},"errors":[]}`:                      false,
		`{"core":{"userId": 7, "pad": ""},"extension":null,"errors":["Failed"]}`:            false,
		`{"core":{"userId": 7, "pad": ""},"extension":{"userId":7,"tags":[]},"errors":`:     false,
		`{"userId": 7, "pad": ""}`: false,
	} {
		if isComposite("http://h/api/v1/users/7?pad=1", body) != want {
			t.Errorf("%s: %v", body, !want)
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
	rounds := func(perSec ...float64) (ms []measurement) {
		for _, n := range perSec {
			ms = append(ms, measurement{PerSec: n})
		}
		return ms
	}
	r := results{Tables: []table{
		{Title: "Closed loop, 32 connections", Rows: []row{
			// Ratios 0.90, 0.96 and 1.20, though the medians are the same.
			{Variant: "weft", Rounds: rounds(90, 192, 60)}, {Variant: "no-op ext_proc", Rounds: rounds(100, 200, 50)},
		}},
		{Title: "Closed loop, 256 connections", Rows: []row{
			{Variant: "weft", Rounds: rounds(96)}, {Variant: "no-op ext_proc", Rounds: rounds(100)},
		}},
	}}
	var b strings.Builder
	r.ratios(&b)
	for _, want := range []string{
		"| throughput, 32 connections | weft | no-op ext_proc | 0.96 | 0.90 to 1.20 | ≥ 0.95 | met |",
		"| throughput, 256 connections | weft | no-op ext_proc | 0.96 | 0.96 to 0.96 | ≥ 1.05 | **missed** |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

func TestUsage(t *testing.T) {
	before, err := usageOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for {
		now, err := usageOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = os.ReadDir("/proc/self/task")                                                                           // is the kernel's work
		if now.cpu >= before.cpu+20*time.Millisecond && now.kernel > before.kernel && now.switches > before.switches { // this loop uses it
			return
		}
	}
}

// TestDumped: of what callgrind writes, the totals count, and a dump counts once.
func TestDumped(t *testing.T) {
	w := &world{dir: t.TempDir()}
	if _, err := w.dumped("7"); err == nil {
		t.Error("there is no dump, and no error")
	}
	file := filepath.Join(w.dir, "callgrind.7.1")
	if err := os.WriteFile(file, []byte("# callgrind format\nsummary: 12\n\nfn=(0)\n1 2\n\ntotals: 123456\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := w.dumped("7"); n != 123456 || err != nil {
		t.Errorf("%g, %v", n, err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the dump is still there: %v", err)
	}
}
