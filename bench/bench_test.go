package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBench runs all parts for a short time, with the same weft as both commits and without FastAPI, whose packages
// tests do not install. It checks that everything is measured, not the figures.
func TestBench(t *testing.T) {
	bin := t.TempDir()
	weft, bench := filepath.Join(bin, "weft"), filepath.Join(bin, "bench")
	for dir, path := range map[string]string{"..": weft, ".": bench} {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
		build.Dir = dir
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, output)
		}
	}
	noop := filepath.Join(bin, "libnoop.so")
	build := exec.CommandContext(t.Context(), "gcc", "-shared", "-fPIC", "-Wl,--unresolved-symbols=ignore-all",
		"-o", noop, "noopmodule/noop.c")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, output)
	}
	results := t.TempDir()
	command := exec.CommandContext(t.Context(), bench,
		"-weft", weft, "-baseline", weft, "-noop-module", noop, "-results", results, "-for", "100ms", "-rounds", "1")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	text, err := os.ReadFile(filepath.Join(results, "results.md"))
	if err != nil {
		t.Fatal(err)
	}
	for row, tables := range map[string]int{
		envoyAlone: 17, noopExtProc: 16, weftNow: 20, weftBefore: 12, goAggregator: 16, goAggregatorInMesh: 16,
		noopModule: 15,
		"1 MB":     2, "1024": 1, thousandRules: 1, selectAll: 1, selectBoth: 1,
		"weft, 64 connections": 5, "weft before, 256 connections": 1,
	} {
		measured := 0
		for _, columns := range readResults(string(text)) {
			if columns[row] != nil {
				measured++
			}
		}
		if measured != tables {
			t.Errorf("%q is in %d tables, want %d, of\n%s", row, measured, tables, text)
		}
	}
	chart, err := os.ReadFile(filepath.Join(results, "results.svg"))
	if err != nil || !strings.Contains(string(chart), goAggregatorInMesh) {
		t.Errorf("chart: %v, %.200s", err, chart)
	}
}

// TestIsComposite: a response without core or extension, or with another user's, is invalid.
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

func TestMedians(t *testing.T) {
	m := medians([]measurement{
		{PerSec: 5, CPU: map[string]float64{"a": 1}},
		{PerSec: 1, CPU: map[string]float64{"a": 7}},
		{PerSec: 3, CPU: map[string]float64{"a": 2}},
	})
	if m.PerSec != 3 || m.CPU["a"] != 2 || m.totalCPU() != 2 {
		t.Errorf("%+v", m)
	}
}

// TestTargets: a ratio is taken within each round, and the rows of a distance have targets of their own.
func TestTargets(t *testing.T) {
	rounds := func(perSec ...float64) (ms []measurement) {
		for _, n := range perSec {
			ms = append(ms, measurement{PerSec: n, P50: 1e6 / n})
		}
		return ms
	}
	r := results{Tables: []table{
		{Title: "Closed loop, 32 connections, /api/v1/users/{id}", Rows: []row{
			// The ratios are 0.90, 0.96 and 1.20, although the medians are the same.
			{Name: weftNow, Rounds: rounds(90, 192, 60)}, {Name: noopExtProc, Rounds: rounds(100, 200, 50)},
		}},
		{Title: "Closed loop, 256 connections, /api/v1/users/{id}", Rows: []row{
			{Name: weftNow, Rounds: rounds(96)},
			{Name: noopExtProc, Rounds: rounds(100)},
			{Name: weftBefore, Rounds: rounds(48)},
		}},
		{Title: "MongoDB 2.5 ms away (each direction)", Rows: []row{
			{Name: "weft, 1 connection", Rounds: rounds(100)}, {Name: "weft, 2 connections", Rounds: rounds(180)},
		}},
	}}
	var b strings.Builder
	r.compare(&b, "Targets", targets())
	r.compare(&b, "Distance", distanceTargets())
	const path, far = "/api/v1/users/{id}: throughput | weft | ", "MongoDB 2.5 ms away (each direction): "
	for _, want := range []string{
		"32 connections, " + path + "no-op ext_proc | 0.96 | 0.90 to 1.20 | ≥ 0.95 | met |\n",
		"256 connections, " + path + "no-op ext_proc | 0.96 | 0.96 to 0.96 | ≥ 1.05 | **missed** |\n",
		"256 connections, " + path + "weft before | 2.00 | 2.00 to 2.00 |  |  |\n",
		far + "p50 | weft, 2 connections | weft, 1 connection | 0.56 | 0.56 to 0.56 | ≤ 1.10 | met |\n",
		far + "throughput | weft, 2 connections | weft, 1 connection | 1.80 | 1.80 to 1.80 | ≥ 1.90 | **missed** |\n",
	} {
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
		if now >= before+20*time.Millisecond { // this loop uses CPU time
			return
		}
	}
}
