package operations_test

import (
	"context"
	"os"
	"testing"

	"weft/internal/command"
)

// TestMain lets the test binary be weft itself, so that the tests run the real command in a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("WEFT_TEST_IS_WEFT") != "" {
		os.Exit(command.Run(context.Background(), os.Args, os.Stdout, os.Stderr, "devel"))
	}
	os.Exit(m.Run())
}
