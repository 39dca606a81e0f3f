package operations_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestLimits: Envoy opens another connection where one is full, and a message that is too large lets the response pass.
func TestLimits(t *testing.T) {
	w := startWorld(t)
	at := socket(t)
	startServer(t, "--listen", at, "--mongodb-uri", w.mongod.URI(), "--max-streams", "2", "--max-message-bytes", "2000")
	w.startEnvoy(t, "--weft", at, "--weft-max-streams", "2")
	load := w.startLoad(t, 8)
	eventually(t, "there are several connections", func() bool { return t.Failed() || w.stat(t, "cluster.weft.upstream_cx_active") >= 4 })
	load.end()

	large := strings.Replace(core("7"), "user7@", strings.Repeat("x", 2000)+"@", 1)
	w.legacy.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, large) })
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	if status, body, outcome, err := w.ask(client, 7); err != nil || status != http.StatusOK || body != large {
		t.Errorf("%v, %d, x-weft %q: %s", err, status, outcome, body)
	}
}

// TestCgroup: the garbage collector knows the memory limit of weft's cgroup, nine tenths of it, and there are as many threads as the
// cgroup has CPUs. Where the test may make no cgroup, it is about the one that it is in.
func TestCgroup(t *testing.T) {
	limit, cpus := uint64(math.MaxInt64), runtime.GOMAXPROCS(0)
	if own, err := memlimit.FromCgroup(); err == nil {
		limit = own / 10 * 9
	}
	var enter string // into a cgroup, in a shell
	if dir, err := makeCgroup(t, "memory", "memory.limit_in_bytes", "memory.max", fmt.Sprint(200<<20)); err == nil {
		limit = 180 << 20
		enter += "echo $$ > " + dir + "/cgroup.procs && "
	}
	if dir, err := makeCgroup(t, "cpu", "cpu.cfs_quota_us", "cpu.max", "200000"); err == nil { // of 100,000 µs: two CPUs
		cpus = min(cpus, 2)
		enter += "echo $$ > " + dir + "/cgroup.procs && "
	}
	t.Logf("limits: %d bytes, %d CPUs; cgroups of its own: %q", limit, cpus, enter)

	at, admin := socket(t), freePort(t)
	serve := weft(context.Background(), "serve", "--listen", at, "--admin", admin, "--drain-window", "0")
	shell := exec.Command("sh", append([]string{"-c", enter + `exec "$0" "$@"`}, serve.Args...)...)
	shell.Env = serve.Env
	s := startCommand(t, shell)
	metrics := page(t, admin+"/metrics")
	for _, want := range []string{
		fmt.Sprintf("\ngo_gc_gomemlimit_bytes %v\n", float64(limit)),
		fmt.Sprintf("\ngo_sched_gomaxprocs_threads %d\n", cpus),
	} {
		if !strings.Contains(metrics, want) {
			name, _, _ := strings.Cut(want[1:], " ")
			_, got, _ := strings.Cut(metrics, "\n"+name+" ")
			got, _, _ = strings.Cut(got, "\n")
			t.Errorf("%s: %s, want%s", name, got, strings.TrimPrefix(want[1:], name))
		}
	}
	s.stop(t)
}

// makeCgroup makes a cgroup inside that of the test, with a limit, if it may.
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
	t.Cleanup(func() { _ = os.Remove(dir) }) // it is empty when weft has ended
	return dir, os.WriteFile(filepath.Join(dir, file), []byte(limit), 0o644)
}

// TestNonRoot runs weft as the container image does: as a user that owns nothing, without a home or a folder for temporary
// files. It writes nowhere but to the folder of its socket. Who does not run the tests as root stays who it is.
func TestNonRoot(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "w")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	binary, err := os.Open(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = binary.Close() }()
	admin := freePort(t)
	cmd := exec.Command("/proc/self/fd/3", "serve", "--listen", "unix:"+filepath.Join(dir, "w"), "--admin", admin, "--drain-window", "0")
	cmd.ExtraFiles = []*os.File{binary} // the path to it is not for everybody
	cmd.Dir = "/"
	cmd.Env = []string{"WEFT_TEST_IS_WEFT=1", "HOME=/nowhere", "TMPDIR=/nowhere"}
	if os.Getuid() == 0 {
		const user = 65532
		if err := os.Chown(dir, user, user); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
	}
	s := startCommand(t, cmd)
	if got := page(t, admin+"/readyz"); got != "200 ok\n" {
		t.Errorf("/readyz: %s", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "w" {
		t.Errorf("%v, %v; want the socket alone", entries, err)
	}
	s.stop(t)
}

// TestThreads: the environment says how many threads there are, if it does.
func TestThreads(t *testing.T) {
	admin := freePort(t)
	serve := weft(context.Background(), "serve", "--listen", socket(t), "--admin", admin, "--drain-window", "0")
	serve.Env = append(serve.Env, fmt.Sprintf("GOMAXPROCS=%d", runtime.NumCPU()))
	s := startCommand(t, serve)
	if want, metrics := fmt.Sprintf("\ngo_sched_gomaxprocs_threads %d\n", runtime.NumCPU()), page(t, admin+"/metrics"); !strings.Contains(metrics, want) {
		t.Errorf("no %q in\n%s", want, metrics)
	}
	s.stop(t)
}
