//go:build cgo

package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModule: weft runs in Envoy's process. The page has no buttons for it.
func TestModule(t *testing.T) {
	bin, variables := build(t), append(environment(t), "MODE=module")
	library := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-buildvcs=false",
		"-o", filepath.Join(bin, "libweft.so"), "weft/envoy/module/libweft")
	if output, err := library.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	run := startPage(t, bin, variables)
	if _, ok := run.pids(t)["weft"]; ok || len(run.pids(t)) != 3 {
		t.Fatalf("want three processes:\n%s", run.output)
	}
	const states = `{"caches":"off","legacy":"running","mongod":"running"}`
	if _, body := run.send(t, http.MethodGet, "/demo/processes"); strings.TrimSpace(body) != states {
		t.Errorf("processes: %s", body)
	}
	for _, step := range []struct{ verb, answer string }{{"stop", `"extension":null`}, {"run", `"errors":[]}`}} {
		run.send(t, http.MethodPost, "/demo/processes/mongod/"+step.verb, "Origin", run.base)
		run.eventually(t, "/api/v3/composite-profile/7", step.answer)
	}
	checkSelection(t, run)
	checkCaches(t, run)
	pids := run.pids(t)
	if code, rest := run.end(t, os.Interrupt); code != 0 {
		t.Errorf("exit status %d: %s", code, rest)
	}
	checkGone(t, pids)
}
