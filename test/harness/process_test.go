package harness

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// state returns the kernel's letter for the state of a process, or "" if there is no such process.
func state(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return after[:1]
}

// ended reports whether a process has ended. It may be a zombie until init reaps it.
func ended(pid int) bool { return gone(pid) || state(pid) == "Z" }

func TestStop(t *testing.T) {
	process := startScript(t, "exec sleep 300")
	if err := process.Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	if !gone(process.Pid()) {
		t.Error("the child still exists after Stop")
	}
	if err := process.Stop(time.Second); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestStopKillsAfterGrace(t *testing.T) {
	process := startScript(t, `trap "" TERM; echo deaf; while :; do sleep 0.05; done`)
	Eventually(t, "the child ignores SIGTERM", func() bool { return strings.Contains(process.LastLines(1), "deaf") })
	err := process.Stop(50 * time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("Stop: %v, want an error that contains \"was killed\"", err)
	}
	if !gone(process.Pid()) {
		t.Error("the child still exists after Stop")
	}
}

func TestStopWhileFrozen(t *testing.T) {
	process := startScript(t, "exec sleep 300")
	// The SIGTERM would overtake the SIGSTOP if Freeze did not wait.
	if err := process.Freeze(); err != nil {
		t.Fatal(err)
	}
	if s := state(process.Pid()); s != "T" {
		t.Errorf("frozen, its state is %q", s)
	}
	if err := process.Stop(50 * time.Millisecond); err == nil {
		t.Error("Stop of a frozen child returns no error")
	}
	if !gone(process.Pid()) {
		t.Error("the child still exists after Stop")
	}
}

func TestOwnProcessGroup(t *testing.T) {
	process := startScript(t, "exec sleep 300")
	group, err := syscall.Getpgid(process.Pid())
	if err != nil || group != process.Pid() {
		t.Errorf("process group %d (%v), want its own, %d", group, err, process.Pid())
	}
}

func TestDiesWithParent(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentLog+"="+filepath.Join(t.TempDir(), "child.log"))
	output, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(output).ReadString('\n')
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	alive := err == nil && !ended(pid)
	if err := parent.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the parent exited before it was killed")
	}
	if readErr != nil || err != nil || !alive {
		t.Fatalf("the parent printed %q (%v), want the pid of a running child", line, readErr)
	}
	Eventually(t, "the child ends when its parent is killed", func() bool { return ended(pid) })
}

// TestStartFails: if a child ends before it is ready, the error contains its log, even while Ready blocks. A child that
// is not ready in time is killed.
func TestStartFails(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	command := Command{Name: "child", Path: "/bin/sh", Args: []string{"-c", "echo the reason; exit 3"}, Log: log}
	command.Ready = func(ctx context.Context, _ *Process) error {
		<-ctx.Done()
		return ctx.Err()
	}
	_, err := Start(t.Context(), command)
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("it ends: %v, want the exit status and the log", err)
	}

	command.Args[1] = "exec sleep 300"
	notYet, pid := errors.New("not yet"), 0
	command.Ready = func(_ context.Context, p *Process) error {
		pid = p.Pid()
		return notYet
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Start(ctx, command); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, notYet) {
		t.Errorf("it is not ready: %v, want the deadline and the last error of Ready", err)
	}
	if !gone(pid) {
		t.Error("a child that is not ready still exists")
	}
}

// TestAwaitLog: each call continues after the line that the previous one found, and finds the last line of a process
// that has ended.
func TestAwaitLog(t *testing.T) {
	process := startScript(t, "echo first line; echo second line")
	for _, text := range []string{"line", "second"} {
		if err := process.AwaitLog(t.Context(), text); err != nil {
			t.Error(err)
		}
	}
	<-process.Done()
	if err := process.AwaitLog(t.Context(), "line"); err == nil || !strings.Contains(err.Error(), "    second line") {
		t.Errorf("no third line: %v, want the end of the log", err)
	}
}

func TestStartErrors(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	command := Command{Name: "ghost", Path: "/no/such/binary", Log: log}
	if _, err := Start(t.Context(), command); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no binary: %v", err)
	}
	command = Command{Name: "mute", Path: "/bin/true", Log: "/no/such/directory/log"}
	if _, err := Start(t.Context(), command); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory for the log: %v", err)
	}
}
