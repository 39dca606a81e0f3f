package operations_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// TestDashboardShowsCaches breaks MongoDB behind a cache. Alerts say that the cache hides it, and every query of the
// row has data at least once.
func TestDashboardShowsCaches(t *testing.T) {
	o := &outages{System: newSystem(t), board: readBoard(t), alerts: readAlerts(t), admin: freeAddr(t)}
	o.targets = slices.DeleteFunc(o.board.targets(), func(t *target) bool {
		return !strings.HasPrefix(t.name, "Caches: ") || strings.Contains(t.expr, "weft_core_store_") // needs Redis
	})
	if err := o.StartLegacy(); err != nil {
		t.Fatal(err)
	}
	startReplicaSet(t, o.System)
	o.rules = filepath.Join(t.TempDir(), "rules.yaml")
	rules := strings.NewReplacer(
		"        database:", "        cache: {stale_if_error: 10m}\n        database:",
		"    core: &core\n", "    core: &core\n      cache: true\n      stale_if_error: 10m\n",
	).Replace(string(userprofile.Rules))
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
	o.Legacy.Handle(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		rw.Header().Set("Cache-Control", "max-age=1")
		_, _ = io.WriteString(rw, harness.NewUser(id).Core)
	}))
	firing("no outage")
	if err := o.Mongod.Kill(); err != nil {
		t.Fatal(err)
	}
	firing("MongoDB is killed", "WeftExtensionsStale", "WeftCacheBypassed")
	if err := o.RestartMongod(t.Context()); err != nil {
		t.Fatal(err)
	}
	firing("MongoDB is back")
	if err := o.Legacy.Stop(); err != nil {
		t.Fatal(err)
	}
	firing("the legacy service is down", "WeftCoresStale")
	if err := o.Legacy.Start(); err != nil {
		t.Fatal(err)
	}
	firing("the legacy service is back")
	missing := func(target *target) bool { return !target.hasData || target.maximum == 0 }
	harness.Eventually(t, "data of each query", func() bool {
		_, err := o.Mongod.Run(t.Context(), "user_profiles", bson.D{
			{Key: "findAndModify", Value: "profiles"},
			{Key: "query", Value: bson.D{{Key: "userId", Value: 7}}},
			{Key: "update", Value: bson.D{{Key: "$inc", Value: bson.D{{Key: "lastActivityScore", Value: 1}}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		o.evaluate(t)
		return !slices.ContainsFunc(o.targets, missing)
	})
}
