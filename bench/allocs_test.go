package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

var update = flag.Bool("update", false, "write results/allocs.txt")

const baseline = "results/allocs.txt"

// TestAllocs compares what weft's benchmarks allocate with a baseline. Times are for people, with "make benchstat".
//
// The benchmarks are run apart, without the race detector, which allocates, too; on one thread; and the least of some runs
// counts: what an exchange over gRPC allocates differs a little from run to run.
func TestAllocs(t *testing.T) {
	run := exec.CommandContext(t.Context(), "go", "test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", "1000x", "-count", "6", "-cpu", "1",
		"./enrich", "./enrich/mongostore", "./extproc")
	run.Dir = ".."
	output, err := run.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	now, err := allocations(bytes.NewReader(output))
	if err != nil {
		t.Fatal(err)
	}
	if len(now) == 0 {
		t.Fatalf("no benchmarks in\n%s", output)
	}
	if *update {
		if err := os.WriteFile(baseline, least(now), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	text, err := os.ReadFile(baseline)
	if err != nil {
		t.Fatal(err)
	}
	before, err := allocations(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if grown := compare(before, now); len(grown) > 0 {
		t.Errorf("%s (%s)\nIf that is worth it: cd bench && go test -run TestAllocs -update, and commit %s.", strings.Join(grown, "\n"), runtime.Version(), baseline)
	}
}

func TestCompareAllocs(t *testing.T) {
	const text = "pkg: weft/enrich\nBenchmarkMatch 	 1 	 1 ns/op	 100 B/op	 %d allocs/op\nBenchmarkMatch 	 1 	 1 ns/op	 %d B/op	 9 allocs/op\n"
	parse := func(count, size int) []allocs {
		a, err := allocations(strings.NewReader(fmt.Sprintf(text, count, size)))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	before := parse(2, 100)
	tests := []struct {
		now  []allocs
		want string
	}{
		{parse(2, 100), ""},
		{parse(1, 90), ""},
		{parse(2, 900), ""}, // the least of the runs
		{parse(3, 100), "weft/enrich Match: 3 allocs/op, not 2"},
		{[]allocs{{name: "weft/enrich Match", count: 2, bytes: 111}}, "weft/enrich Match: 111 B/op, not 100"},
		{append(parse(2, 100), allocs{name: "weft/enrich New"}), "weft/enrich New is not in the baseline"},
		{nil, "weft/enrich Match is in the baseline, and no more"},
	}
	for _, test := range tests {
		if got := strings.Join(compare(before, test.now), "\n"); got != test.want {
			t.Errorf("%v: %q, want %q", test.now, got, test.want)
		}
	}
	if again, err := allocations(bytes.NewReader(least(before))); err != nil || len(compare(before, again)) > 0 {
		t.Errorf("%v, %v", again, err)
	}
}

// allocs is what a benchmark allocates, for each operation.
type allocs struct {
	name         string // package and benchmark
	count, bytes float64
}

// allocations reads what go test -bench -benchmem prints. Of a benchmark that is there several times it returns the least.
func allocations(output io.Reader) ([]allocs, error) {
	var all []allocs
	index := map[string]int{}
	r := benchfmt.NewReader(output, "")
	for r.Scan() {
		switch record := r.Result().(type) {
		case *benchfmt.Result:
			count, ok := record.Value("allocs/op")
			size, okSize := record.Value("B/op")
			if !ok || !okSize {
				return nil, fmt.Errorf("%s has no allocs/op", record.Name)
			}
			name := record.GetConfig("pkg") + " " + string(record.Name)
			i, known := index[name]
			if !known {
				i = len(all)
				index[name] = i
				all = append(all, allocs{name, count, size})
			}
			all[i].count, all[i].bytes = min(all[i].count, count), min(all[i].bytes, size)
		case *benchfmt.SyntaxError:
			return nil, record
		}
	}
	return all, r.Err()
}

// compare says what has grown. Sizes have some slack: buffers grow in steps.
func compare(before, now []allocs) (grown []string) {
	old := map[string]allocs{}
	for _, a := range before {
		old[a.name] = a
	}
	for _, a := range now {
		b, ok := old[a.name]
		delete(old, a.name)
		switch {
		case !ok:
			grown = append(grown, a.name+" is not in the baseline")
		case a.count > b.count:
			grown = append(grown, fmt.Sprintf("%s: %.0f allocs/op, not %.0f", a.name, a.count, b.count))
		case a.bytes > 1.1*b.bytes:
			grown = append(grown, fmt.Sprintf("%s: %.0f B/op, not %.0f", a.name, a.bytes, b.bytes))
		}
	}
	for _, b := range before {
		if _, left := old[b.name]; left {
			grown = append(grown, b.name+" is in the baseline, and no more")
		}
	}
	return grown
}

// least writes allocations as go test -bench does.
func least(all []allocs) []byte {
	b := []byte("# By go test -run TestAllocs -update, which also compares them (TestAllocs). " + runtime.Version() + ".\n")
	for _, a := range all {
		pkg, name, _ := strings.Cut(a.name, " ")
		b = fmt.Appendf(b, "pkg: %s\nBenchmark%s 1 %.0f B/op %.0f allocs/op\n", pkg, name, a.bytes, a.count)
	}
	return b
}
