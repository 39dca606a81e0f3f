package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// parentLog is the environment variable that makes this test binary the parent in TestDiesWithParent.
const parentLog = "HARNESS_TEST_PARENT_LOG"

func TestMain(m *testing.M) {
	if log := os.Getenv(parentLog); log != "" {
		os.Exit(runParent(log))
	}
	goleak.VerifyTestMain(m)
}

// runParent starts a child, prints its pid and waits until it is killed.
func runParent(log string) int {
	command := Command{Name: "sleep", Path: "/bin/sleep", Args: []string{"300"}, Log: log}
	child, err := Start(context.Background(), command)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(child.Pid())
	<-child.Done()
	return 0
}

// startScript starts a shell with a script.
func startScript(t *testing.T, script string) *Process {
	t.Helper()
	log := filepath.Join(t.TempDir(), "child.log")
	process, err := Start(t.Context(), Command{Name: "child", Path: "/bin/sh", Args: []string{"-c", script}, Log: log})
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
