package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// instructions counts what Envoy executes for a request, outside of the kernel: Envoy runs in valgrind, which makes it fifty times slower
// and counts. Two runs differ by half a per cent, whatever else the machine does, so that this shows what no clock does here: whether a
// piece of Envoy's configuration or of weft's replies pays. What a processor makes of instructions, it does not show.
func instructions(ctx context.Context, w *world) (tables []table, err error) {
	for _, route := range []struct {
		title string
		path  func(*rand.Rand) string
		only  string
	}{
		{"in place (/api/v1/users)", user, w.only},
		{"a path of its own, with a fallback (/api/v3/composite-profile)", compositePath, "weft"},
	} {
		t := table{Title: "Instructions of Envoy, " + route.title, Connections: atOnce}
		for _, turn := range w.turns(route.only, load{connections: atOnce, path: route.path}) {
			r := row{Variant: turn.name}
			for range w.rounds + 1 {
				m, err := w.count(ctx, turn)
				if err != nil {
					return nil, err
				}
				fmt.Fprintf(os.Stderr, "bench: %s, %s: %.0f\n", t.Title, turn.name, m.Instructions)
				r.Rounds = append(r.Rounds, m)
			}
			r.Rounds = r.Rounds[1:] // the first is to warm up
			r.measurement = median(r.Rounds)
			t.Rows = append(t.Rows, r)
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// atOnce is how many connections there are while instructions are counted.
const atOnce = 16

// compositePath is the path of a random user's composite.
func compositePath(random *rand.Rand) string {
	return fmt.Sprintf("/api/v3/composite-profile/%d", random.IntN(users))
}

// count measures a turn, with the instructions of its Envoys.
func (w *world) count(ctx context.Context, t turn) (m measurement, err error) {
	var pids []string
	for name, pid := range t.variant.processes {
		if strings.HasPrefix(name, "Envoy") {
			pids = append(pids, strconv.Itoa(pid))
		}
	}
	for _, pid := range pids {
		if err := control(ctx, "--zero", pid); err != nil {
			return m, err
		}
	}
	if m, err = w.measure(ctx, t.variant, t.load, w.length); err != nil {
		return m, err
	}
	for _, pid := range pids {
		if err := control(ctx, "--dump", pid); err != nil {
			return m, err
		}
		n, err := w.dumped(pid)
		if err != nil {
			return m, err
		}
		m.Instructions += n / float64(m.Requests)
	}
	return m, nil
}

// valgrind returns the program that counts, with its arguments.
func (w *world) valgrind() []string {
	return []string{"valgrind", "--quiet", "--tool=callgrind", "--callgrind-out-file=" + filepath.Join(w.dir, "callgrind.%p")}
}

func control(ctx context.Context, args ...string) error {
	if output, err := exec.CommandContext(ctx, "callgrind_control", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("callgrind_control %s: %w\n%s", args, err, output)
	}
	return nil
}

// dumped reads and removes what a process has dumped, and returns the instructions in it.
func (w *world) dumped(pid string) (n float64, err error) {
	files, err := filepath.Glob(filepath.Join(w.dir, "callgrind."+pid+".*"))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return 0, err
		}
		for lines := bufio.NewScanner(f); lines.Scan(); {
			if totals, ok := strings.CutPrefix(lines.Text(), "totals: "); ok {
				if n, err = strconv.ParseFloat(totals, 64); err != nil {
					return 0, fmt.Errorf("%s: %w", file, err)
				}
			}
		}
		if err := f.Close(); err != nil {
			return 0, err
		}
		if err := os.Remove(file); err != nil {
			return 0, err
		}
	}
	if n == 0 {
		return 0, fmt.Errorf("process %s has dumped no totals", pid)
	}
	return n, nil
}

// instructions writes what was counted, beside the first row.
func (t *table) instructions(w io.Writer) {
	fmt.Fprintln(w, "| | thousands of instructions/request | to the first |\n|---|--:|--:|")
	for _, row := range t.Rows {
		fmt.Fprintf(w, "| %s | %.0f | %.2f |\n", row.Variant, row.Instructions/1000, row.Instructions/t.Rows[0].Instructions)
	}
}
