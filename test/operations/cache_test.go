package operations_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// TestCache: documents are read once, until a change stream reports that they have changed. If MongoDB is down, an
// older document replaces the read, and the response says so. New rules without a cache end it.
func TestCache(t *testing.T) {
	s, admin := newSystem(t), freeAddr(t)
	if err := s.StartLegacy(); err != nil {
		t.Fatal(err)
	}
	startReplicaSet(t, s)
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(rules+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(rules+".new", rules); err != nil {
			t.Fatal(err)
		}
	}
	write(strings.Replace(string(userprofile.Rules), "        database:",
		"        cache: {stale_if_error: 10m}\n        database:", 1))
	weft := startWeft(t, s, "--rules", rules, "--admin", admin, "--budget", "500ms",
		"--mongodb-uri", s.Mongod.URI()+"/?replicaSet=rs0&serverSelectionTimeoutMS=200")
	startEnvoy(t, s)
	expect := func(cache, outcome, body string) {
		t.Helper()
		answer := get(t, s)
		timing := answer.Header.Get("Server-Timing")
		isRead := strings.Contains(timing, "mongodb;dur=")
		if answer.Body != body || answer.Header.Get("X-Weft") != outcome || isRead != (cache != "hit") ||
			!strings.Contains(timing, ", cache;desc="+cache) {
			t.Errorf("want %s, %s\n%s", cache, outcome, answer)
		}
		if isStale := cache == "stale"; isStale != (answer.Header.Get("Cache-Control") == "no-store") {
			t.Errorf("cache-control %q", answer.Header.Get("Cache-Control"))
		}
	}
	metric := func(name string, value int) {
		t.Helper()
		name = strings.Replace(name, "{", `{collection="profiles",database="user_profiles"`, 1)
		line := fmt.Sprintf("\n%s %d\n", name, value)
		harness.Eventually(t, strings.TrimSpace(line), func() bool {
			return strings.Contains(page(t, admin+"/metrics"), line)
		})
	}
	harness.ExpectLog(t, weft, "cache follows the change stream")
	metric("weft_cache_follows_changes{}", 1)
	before := harness.NewUser(7).Composite()
	expect("miss", "composed", before)
	for range 3 {
		expect("hit", "composed", before)
	}
	metric(`weft_cache_reads_total{,result="hit"}`, 3)
	metric(`weft_cache_reads_total{,result="miss"}`, 1)

	_, err := s.Mongod.Run(t.Context(), "user_profiles", bson.D{
		{Key: "findAndModify", Value: "profiles"},
		{Key: "query", Value: bson.D{{Key: "userId", Value: 7}}},
		{Key: "update", Value: bson.D{{Key: "$set", Value: bson.D{{Key: "tags", Value: bson.A{"new"}}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	metric("weft_cache_invalidations_total{}", 1)
	after := strings.Replace(before, "tag 7", "new", 1)
	expect("miss", "composed", after)
	expect("hit", "composed", after)

	if err := s.Mongod.Kill(); err != nil {
		t.Fatal(err)
	}
	harness.ExpectLog(t, weft, "change stream failed; the cache is not used until it is resumed")
	var outcome string
	harness.Eventually(t, "an older document replaces the read", func() bool {
		outcome = get(t, s).Header.Get("X-Weft")
		return strings.HasSuffix(outcome, "; extension=stale")
	})
	outcomes := "degraded; reason=extension-failed; extension=stale, degraded; reason=extension-timeout; extension=stale"
	if !strings.Contains(outcomes, outcome) {
		t.Errorf("x-weft: %s", outcome)
	}
	expect("stale", get(t, s).Header.Get("X-Weft"), after)
	if got := page(t, admin+"/readyz"); !strings.HasPrefix(got, "200 degraded") {
		t.Errorf("/readyz: %q", got)
	}
	if err := s.RestartMongod(t.Context()); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the change stream is resumed, and the cache is used", func() bool {
		answer := get(t, s)
		return answer.Body == after && strings.Contains(answer.Header.Get("Server-Timing"), "cache;desc=hit")
	})
	metric("weft_cache_follows_changes{}", 1)

	write(string(userprofile.Rules))
	harness.ExpectLog(t, weft, "rules reloaded")
	answer := get(t, s)
	if strings.Contains(answer.Header.Get("Server-Timing"), "cache") || answer.Status != http.StatusOK {
		t.Errorf("without a cache: %s", answer)
	}
	if text := page(t, admin+"/metrics"); strings.Contains(text, "weft_cache_") {
		t.Errorf("without a cache: %s", text)
	}
	stopWeft(t, weft)
}

// startReplicaSet starts a replica set of one mongod, with the users of [harness.Mongod.Seed].
func startReplicaSet(t *testing.T, s *harness.System) {
	t.Helper()
	if err := s.StartMongod(t.Context(), "--replSet", "rs0", "--oplogSize", "50"); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(s.Mongod.URI(), "mongodb://")
	members := bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: host}}}
	_, err := s.Mongod.Run(t.Context(), "admin", bson.D{
		{Key: "replSetInitiate", Value: bson.D{{Key: "_id", Value: "rs0"}, {Key: "members", Value: members}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "a primary", func() bool {
		hello, err := s.Mongod.Run(t.Context(), "admin", bson.D{{Key: "hello", Value: 1}})
		isPrimary, _ := hello.Lookup("isWritablePrimary").BooleanOK()
		return err == nil && isPrimary
	})
	if err := s.Mongod.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
}
