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
	isOther := func(t *target) bool { return !strings.HasPrefix(t.name, "Caches: ") }
	o.targets = slices.DeleteFunc(o.board.targets(), isOther)
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
	withRedis := freeAddr(t)
	o.prometheus = startPrometheus(t, map[string]string{"weft": o.admin + "/metrics", "weft2": withRedis + "/metrics"})
	o.startLoad(t, 4)

	firing := func(outage string, want ...string) {
		t.Helper()
		var found []string
		defer func() { t.Logf("%s: alerts %q", outage, found) }()
		harness.Eventually(t, outage, func() bool {
			o.evaluate(t)
			found = slices.DeleteFunc(o.prometheus.firing(t, o.alerts), func(name string) bool {
				return !strings.HasPrefix(name, "WeftCore") && !strings.Contains(name, "Cache") && !strings.Contains(name, "Stale")
			})
			return slices.Equal(found, want)
		})
	}
	o.Legacy.Handle(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		maxAge := "max-age=1"
		if id%10 == 0 { // also a slow client gets some while they are fresh
			maxAge = "max-age=3600"
		}
		rw.Header().Set("Cache-Control", maxAge)
		_, _ = io.WriteString(rw, harness.NewUser(id).Core)
	}))
	harness.Eventually(t, "the caches have all users", func() bool {
		documents := o.prometheus.values(t, "sum(weft_cache_entries)")
		cores := o.prometheus.values(t, "sum(weft_core_store_entries)")
		return slices.Equal(documents, []float64{harness.Users}) && slices.Equal(cores, documents)
	})
	firing("no outage")
	if err := o.Mongod.Kill(); err != nil {
		t.Fatal(err)
	}
	firing("MongoDB is killed", "WeftCacheBypassed", "WeftExtensionsStale")
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
	startWeft(t, o.System, "--rules", o.rules, "--admin", withRedis, "--listen", "unix:"+o.File("weft.sock"),
		"--redis-url", "redis://"+freeAddr(t))
	firing("another instance does not reach its Redis", "WeftCoreStoreUnavailable")
	missing := func(target *target) bool { return !target.hasData || target.maximum == 0 }
	defer func() {
		for _, target := range o.targets {
			if missing(target) {
				t.Errorf("no data of %s: %s", target.name, target.expr)
			}
		}
	}()
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
