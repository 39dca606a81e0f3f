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
func TestChaos(t *testing.T) { testScenarios(t, false) }

func testScenarios(t *testing.T, isModule bool) {
	t.Helper()
	defer goleak.VerifyNone(t)
	bin := t.TempDir()
	build := func(dir string, arguments ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), "go", append([]string{"build"}, arguments...)...)
		command.Dir = dir
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go build %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
	build("../..", "-o", bin+"/", ".")
	build("../legacy", "-o", bin+"/", ".")
	o := options{
		weft: filepath.Join(bin, "weft"), legacy: filepath.Join(bin, "legacy"),
		length: 500 * time.Millisecond, clients: 16, users: 100, messageTimeout: 5 * time.Second,
	}
	if isModule {
		o.library = filepath.Join(bin, "libweft.so")
		build("../..", "-buildmode=c-shared", "-buildvcs=false", "-o", o.library, "./envoy/module/libweft")
	}
	var out bytes.Buffer
	wrong, err := run(t.Context(), o, &out)
	t.Logf("\n%s", out.String())
	if wrong > 0 || err != nil {
		t.Errorf("%d wrong, error %v", wrong, err)
	}
	for _, g := range groups() {
		for _, s := range g.scenarios {
			if found := strings.Contains(out.String(), "| "+s.name+" |"); found == (isModule && s.process) {
				t.Errorf("%q has a row: %v", s.name, found)
			}
		}
	}
}
