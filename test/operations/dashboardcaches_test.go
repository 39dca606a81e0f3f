package operations_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// TestDashboardShowsCaches breaks MongoDB behind a cache. Alerts say that the cache hides it, and every query of the
// row has data at least once.
func TestDashboardShowsCaches(t *testing.T) {
	o := &outages{System: newSystem(t), board: readBoard(t), alerts: readAlerts(t), admin: freeAddr(t)}
	o.targets = slices.DeleteFunc(o.board.targets(), func(t *target) bool {
		return !strings.HasPrefix(t.name, "Caches: ") || strings.Contains(t.expr, "weft_core_")
	})
	if err := o.StartLegacy(); err != nil {
		t.Fatal(err)
	}
	startReplicaSet(t, o.System)
	o.rules = filepath.Join(t.TempDir(), "rules.yaml")
	rules := strings.Replace(string(userprofile.Rules), "        database:",
		"        cache: {stale_if_error: 10m}\n        database:", 1)
	if err := os.WriteFile(o.rules, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	startWeft(t, o.System, "--rules", o.rules, "--admin", o.admin, "--budget", "500ms",
		"--mongodb-uri", o.Mongod.URI()+"/?replicaSet=rs0&serverSelectionTimeoutMS=200")
	startEnvoy(t, o.System, "--rules", o.rules)
	o.prometheus = startPrometheus(t, map[string]string{"weft": o.admin + "/metrics"})
	o.startLoad(t, 4)

	firing := func(outage string, want ...string) {
		t.Helper()
		harness.Eventually(t, outage, func() bool {
			o.evaluate(t)
			names := o.prometheus.firing(t, o.alerts)
			isFiring := func(name string) bool { return slices.Contains(names, name) }
			caches := []string{"WeftCoresStale", "WeftExtensionsStale", "WeftCacheBypassed", "WeftCoreStoreUnavailable"}
			return slices.Equal(slices.DeleteFunc(caches, func(name string) bool { return !isFiring(name) }), want)
		})
	}
	firing("no outage")
	if err := o.Mongod.Kill(); err != nil {
		t.Fatal(err)
	}
	firing("MongoDB is killed", "WeftExtensionsStale", "WeftCacheBypassed")
	if err := o.RestartMongod(t.Context()); err != nil {
		t.Fatal(err)
	}
	firing("MongoDB is back")
	for _, target := range o.targets {
		if !target.hasData || target.maximum == 0 {
			t.Errorf("%s has no data, or only 0: %s", target.name, target.expr)
		}
	}
}
