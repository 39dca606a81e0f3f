package commands_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"weft/internal/cli"
)

// TestMain makes child processes of the test binary weft, so that the tests run the real command.
func TestMain(m *testing.M) {
	if os.Getenv("WEFT_TEST_IS_WEFT") != "" {
		run()
	}
	testscript.Main(m, map[string]func(){"weft": run})
}

// run is what main does.
func run() { os.Exit(cli.Run(context.Background(), os.Args, os.Stdout, os.Stderr, "devel")) }

// weft returns a command that is weft.
func weft(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "WEFT_TEST_IS_WEFT=1")
	return cmd
}
