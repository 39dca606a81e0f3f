//go:build cgo

package envoy_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"weft/envoy"
	userprofile "weft/examples/user-profile"
)

// library builds libweft.so, once for all tests.
var library = sync.OnceValues(func() (string, error) {
	name := filepath.Join(scratch, "libweft.so")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-buildvcs=false", "-o", name, "weft/envoy/module/libweft")
	build.Stderr = os.Stderr
	return name, build.Run()
})

// startModule starts an Envoy that has weft in its process, with rules whose database is user_profiles, as the built-in
// rules have it.
func startModule(t *testing.T, rules []byte, o systemOptions) *system {
	t.Helper()
	lib, err := library()
	if err != nil {
		t.Fatal(err)
	}
	rules = bytes.ReplaceAll(rules, []byte("database: user_profiles"), []byte("database: "+newDatabase()))
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, rules, 0o600); err != nil {
		t.Fatal(err)
	}
	o.rules = parseRules(t, string(rules))
	o.module = &envoy.Module{Library: lib, Flags: map[string]any{
		"rules": file, "mongodb-uri": mongod.URI(), "admin": "",
	}}
	return startSystem(t, o)
}

// TestCasesInModule replays testdata/cases with weft in Envoy's process.
func TestCasesInModule(t *testing.T) {
	s := startModule(t, userprofile.Rules, systemOptions{timeout: caseTimeout})
	replayCases(t, s)
}
