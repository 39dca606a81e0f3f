package main

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestChaos runs all scenarios for a short time with few clients. Timeouts are long enough for a busy machine.
func TestChaos(t *testing.T) {
	defer goleak.VerifyNone(t)
	bin := t.TempDir()
	for dir, arguments := range map[string][]string{
		"../..":     {"build", "-o", bin + "/", "."},
		"../legacy": {"build", "-o", bin + "/", "."},
	} {
		command := exec.CommandContext(t.Context(), "go", arguments...)
		command.Dir = dir
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
	var out bytes.Buffer
	wrong, err := run(t.Context(), options{
		weft: filepath.Join(bin, "weft"), legacy: filepath.Join(bin, "legacy"),
		length: time.Second, clients: 16, messageTimeout: 5 * time.Second,
	}, &out)
	t.Logf("\n%s", out.String())
	if wrong > 0 || err != nil {
		t.Errorf("%d wrong, error %v", wrong, err)
	}
	for _, s := range scenarios() {
		if !strings.Contains(out.String(), "| "+s.name+" |") {
			t.Errorf("no row for %q", s.name)
		}
	}
}
