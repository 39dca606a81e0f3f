//go:build cgo

package envoy_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/envoy"
	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// TestModuleVersions loads the module into each version of Envoy. If Envoy starts, responses are composed or pass.
func TestModuleVersions(t *testing.T) {
	s, file := startModule(t, userprofile.Rules, systemOptions{})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	s.legacy.answer("/other", raw(withLength(`{"other":true}`, "")))
	lib, err := library()
	if err != nil {
		t.Fatal(err)
	}
	bootstrap, err := envoy.Bootstrap(envoy.Config{
		Rules: s.rules, Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Legacy: s.legacy.addr,
		Module: &envoy.Module{
			Library: lib, Flags: map[string]any{"rules": file, "mongodb-uri": mongod.URI(), "admin": ""},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := envoy.YAML(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	tool, err := harness.Tool("envoy")
	if err != nil {
		t.Fatal(err)
	}
	const untested = `level=WARN msg="weft's library was not tested with this version of Envoy, whose ABI may differ; ` +
		`use a tested version, or weft as an external processor" envoy=`
	for version, want := range map[string]struct {
		rejects string // in the error, if Envoy does not start
		logs    string // line of the log; empty if there is no warning
	}{
		"1.40.0": {},
		"1.39.3": {logs: untested + "1.39.3 tested=1.40"},
		"1.38.3": {rejects: "Failed to load dynamic module: lib.so not found in any search path"},
	} {
		t.Run(version, func(t *testing.T) {
			path := filepath.Join(filepath.Dir(filepath.Dir(tool)), "envoy-"+version, "envoy")
			e, err := harness.StartEnvoy(t.Context(), harness.EnvoyOptions{Path: path, Dir: t.TempDir(), Bootstrap: text})
			if want.rejects != "" {
				if err == nil || !strings.Contains(err.Error(), want.rejects) {
					t.Errorf("%v, want an error with %s", err, want.rejects)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = e.Stop(10 * time.Second) }()
			address, err := e.ListenerAddr(t.Context(), "main")
			if err != nil {
				t.Fatal(err)
			}
			for target, answer := range map[string]string{
				"/api/v1/users/7": "200\nx-weft: composed\n\n" + compositeUser7,
				"/other":          "200\n\n" + `{"other":true}`,
			} {
				request := s.newRequest(t, http.MethodGet, target)
				request.URL.Host = address
				checkAnswer(t, answer, "", do(t, http1, request))
			}
			if want.logs != "" {
				harness.ExpectLog(t, e.Process, want.logs)
				return
			}
			_ = e.Stop(10 * time.Second)
			log, err := os.ReadFile(e.Log())
			if err != nil || strings.Contains(string(log), untested) {
				t.Errorf("%v, or a warning in %s", err, log)
			}
		})
	}
}
