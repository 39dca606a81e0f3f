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

// state is the letter that the kernel gives the state of a process, "" when there is none.
func state(pid int) string {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return after[:1]
}

// ended also takes a zombie for an answer: after the death of its parent a child waits for init to collect it.
func ended(pid int) bool { return gone(pid) || state(pid) == "Z" }

func TestStop(t *testing.T) {
	process := sleeper(t, "exec sleep 300")
	if err := process.Stop(10 * time.Second); err != nil {
		t.Error(err)
	}
	if !gone(process.Pid()) {
		t.Error("the child is there after Stop")
	}
	if err := process.Stop(time.Second); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
}

func TestStopKillsAfterGrace(t *testing.T) {
	process := sleeper(t, `trap "" TERM; echo deaf; while :; do sleep 0.05; done`)
	eventually(t, "the child ignores SIGTERM", func() bool { return strings.Contains(process.LastLines(1), "deaf") })
	err := process.Stop(50 * time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("Stop: %v, want an error that says it was killed", err)
	}
	if !gone(process.Pid()) {
		t.Error("the child is there after Stop")
	}
}

func TestStopWhileFrozen(t *testing.T) {
	process := sleeper(t, "exec sleep 300")
	// A SIGTERM would overtake the SIGSTOP if Freeze did not wait for that.
	if err := process.Freeze(); err != nil {
		t.Fatal(err)
	}
	if s := state(process.Pid()); s != "T" {
		t.Errorf("frozen, its state is %q", s)
	}
	if err := process.Stop(50 * time.Millisecond); err == nil {
		t.Error("Stop of a frozen child says that it ended by itself")
	}
	if !gone(process.Pid()) {
		t.Error("the child is there after Stop")
	}
}

func TestOwnProcessGroup(t *testing.T) {
	process := sleeper(t, "exec sleep 300")
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
		t.Error("the parent ended by itself")
	}
	if readErr != nil || err != nil || !alive {
		t.Fatalf("the parent said %q (%v), want the pid of a running child", line, readErr)
	}
	eventually(t, "the child ends when its parent is killed", func() bool { return ended(pid) })
}

func TestDeathDuringStart(t *testing.T) {
	process := sleeper(t, "echo the reason; exit 3")
	err := process.AwaitReady(t.Context(), func(ctx context.Context) error {
		<-ctx.Done() // a probe that hangs
		return ctx.Err()
	})
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("AwaitReady: %v, want the exit status and the log", err)
	}
}

func TestAwaitReadyEndsWithContext(t *testing.T) {
	process := sleeper(t, "exec sleep 300")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	notYet := errors.New("not yet")
	err := process.AwaitReady(ctx, func(context.Context) error { return notYet })
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, notYet) {
		t.Errorf("AwaitReady: %v, want the deadline and the probe's last error", err)
	}
}

func TestStartErrors(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	if _, err := Start(Command{Name: "ghost", Path: "/no/such/binary", Log: log}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no binary: %v", err)
	}
	if _, err := Start(Command{Name: "mute", Path: "/bin/true", Log: "/no/such/folder/log"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no folder for the log: %v", err)
	}
}
