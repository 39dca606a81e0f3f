package commands_test

import (
	"bytes"
	"os"
	"testing"
)

// TestEnvoyCommand compares the output of "weft envoy" with the golden file of package envoy.
func TestEnvoyCommand(t *testing.T) {
	got, err := weft(t.Context(), "envoy").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../envoy/testdata/bootstrap.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the output of weft envoy differs from envoy/testdata/bootstrap.yaml:\n%s", got)
	}
}
