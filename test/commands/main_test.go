package commands_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"weft/internal/cli"
)

// TestMain lets the test binary run as weft in child processes.
func TestMain(m *testing.M) {
	if os.Getenv("WEFT_TEST_IS_WEFT") != "" {
		run()
	}
	testscript.Main(m, map[string]func(){"weft": run})
}

// run runs weft's main.
func run() { os.Exit(cli.Run(context.Background(), os.Args, os.Stdout, os.Stderr, "devel")) }

// weft returns a command that runs weft.
func weft(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "WEFT_TEST_IS_WEFT=1")
	return cmd
}
