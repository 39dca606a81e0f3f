package operations_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"

	"weft/test/harness"
)

// TestCgroup: GOMEMLIMIT is nine tenths of the cgroup's memory limit, and GOMAXPROCS its number of CPUs. If the test
// may not create a cgroup, it uses its own.
func TestCgroup(t *testing.T) {
	limit, cpus := uint64(math.MaxInt64), runtime.GOMAXPROCS(0)
	if own, err := memlimit.FromCgroup(); err == nil {
		limit = own / 10 * 9
	}
	var enter string // shell commands that enter a cgroup
	if dir, err := makeCgroup(t, "memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(200<<20)); err == nil {
		limit = 180 << 20
		enter += "echo $$ > " + dir + "/cgroup.procs && "
	}
	const quota = "200000" // µs in 100,000 µs: two CPUs
	if dir, err := makeCgroup(t, "cpu", "cpu.cfs_quota_us", "cpu.max", quota); err == nil {
		cpus = min(cpus, 2)
		enter += "echo $$ > " + dir + "/cgroup.procs && "
	}
	t.Logf("limits: %d bytes, %d CPUs; new cgroups: %q", limit, cpus, enter)

	s, admin := newSystem(t), freeAddr(t)
	weft := startCommand(t, s, harness.Command{Path: "/bin/sh", Args: []string{
		"-c", enter + `exec "$0" "$@"`, s.Weft, "serve", "--listen", s.Socket, "--admin", admin, "--drain-window", "0",
	}})
	expectMetric(t, admin, "go_gc_gomemlimit_bytes", float64(limit))
	expectMetric(t, admin, "go_sched_gomaxprocs_threads", cpus)
	stopWeft(t, weft)
}

// TestGOMAXPROCS: the environment variable overrides the cgroup.
func TestGOMAXPROCS(t *testing.T) {
	s, admin := newSystem(t), freeAddr(t)
	startCommand(t, s, harness.Command{
		Args: []string{"serve", "--listen", s.Socket, "--admin", admin}, Env: []string{"GOMAXPROCS=7"},
	})
	expectMetric(t, admin, "go_sched_gomaxprocs_threads", 7)
}

// expectMetric compares a metric without labels.
func expectMetric(t *testing.T, admin, name string, want any) {
	t.Helper()
	_, rest, _ := strings.Cut(page(t, admin+"/metrics"), "\n"+name+" ")
	if got, _, _ := strings.Cut(rest, "\n"); got != fmt.Sprint(want) {
		t.Errorf("%s: %s, want %v", name, got, want)
	}
}

// makeCgroup creates a cgroup with a limit inside the test's cgroup.
func makeCgroup(t *testing.T, controller, v1, v2, limit string) (string, error) {
	t.Helper()
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	root, file := "", ""
	for line := range strings.Lines(string(membership)) { // cgroups(7): number:controllers:path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case parts[1] == controller:
			root, file = filepath.Join("/sys/fs/cgroup", controller, parts[2]), v1
		case parts[1] == "" && root == "":
			root, file = filepath.Join("/sys/fs/cgroup", parts[2]), v2
		}
	}
	dir := filepath.Join(root, fmt.Sprintf("weft-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil && !os.IsExist(err) {
		return "", err
	}
	t.Cleanup(func() { _ = os.Remove(dir) }) // empty after weft has exited
	return dir, os.WriteFile(filepath.Join(dir, file), []byte(limit), 0o644)
}
