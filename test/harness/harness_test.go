package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// parentLog is the environment variable that makes this test binary play the parent in TestDiesWithParent.
const parentLog = "HARNESS_TEST_PARENT_LOG"

func TestMain(m *testing.M) {
	if log := os.Getenv(parentLog); log != "" {
		os.Exit(playParent(log))
	}
	goleak.VerifyTestMain(m)
}

// playParent starts a child, prints its pid and waits to be killed.
func playParent(log string) int {
	child, err := Start(Command{Name: "sleep", Path: "/bin/sleep", Args: []string{"300"}, Log: log})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(child.Pid())
	<-child.Done()
	return 0
}

func sleeper(t *testing.T, script string) *Process {
	t.Helper()
	process, err := Start(Command{Name: "child", Path: "/bin/sh", Args: []string{"-c", script}, Log: filepath.Join(t.TempDir(), "child.log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Kill(); err != nil {
			t.Error(err)
		}
	})
	return process
}

// eventually fails the test when a condition does not come true within ten seconds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}
