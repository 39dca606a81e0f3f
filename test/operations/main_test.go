package operations_test

import (
	"context"
	"os"
	"testing"

	"weft/internal/cli"
)

// TestMain lets the test binary run as weft in child processes.
func TestMain(m *testing.M) {
	const isWeft = "WEFT_TEST_IS_WEFT"
	if os.Getenv(isWeft) != "" {
		os.Exit(cli.Run(context.Background(), os.Args, os.Stdout, os.Stderr, "devel"))
	}
	if err := os.Setenv(isWeft, "1"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}
