package operations_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// TestCoresInRedis: an instance of weft uses the core that another one has kept. While Redis is frozen, killed or
// empty, only cores that the instance has kept itself stand in.
func TestCoresInRedis(t *testing.T) {
	s, admin := startSystem(t), freeAddr(t)
	redis, err := harness.StartRedis(t.Context(), harness.RedisOptions{Dir: s.File("redis")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Kill() })
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	text := strings.Replace(string(userprofile.Rules),
		"    core: &core\n", "    core: &core\n      stale_if_error: 10m\n", 1)
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--rules", rules, "--admin", admin, "--redis-url", redis.URL()}
	first := startWeft(t, s, args...)
	startEnvoy(t, s, "--rules", rules)
	whole := harness.NewUser(7).Composite()
	harness.Eventually(t, "a core in Redis", func() bool {
		if answer := get(t, s); answer.Body != whole {
			t.Fatal(answer)
		}
		keys, err := redis.Run(t.Context(), "DBSIZE")
		return err == nil && keys == "2" // the core, and the value of a probe
	})
	stopWeft(t, first)
	if err := s.Legacy.Stop(); err != nil {
		t.Fatal(err)
	}

	second := startWeft(t, s, args...)
	isStale := func() bool {
		answer := get(t, s)
		stale := strings.Contains(answer.Header.Get("X-Weft"), "; core=stale")
		if stale != strings.Contains(answer.Body, `"core":{`) || stale && answer.Body != whole {
			t.Fatal(answer)
		}
		return stale
	}
	harness.Eventually(t, "the core of the first instance", isStale)
	if err := redis.Freeze(); err != nil {
		t.Fatal(err)
	}
	if isStale() {
		t.Error("a core from a frozen Redis")
	}
	harness.Eventually(t, "weft leaves Redis alone", func() bool {
		_ = isStale()
		return strings.Contains(page(t, admin+"/metrics"), "\nweft_core_store_open 1\n")
	})
	harness.ExpectLog(t, second, `msg="redis unavailable; only cores that this instance has kept stand in"`)
	if err := redis.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the core is used again", isStale)
	if err := s.Legacy.Start(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "a core of the instance itself", func() bool {
		answer := get(t, s)
		return answer.Body == whole && answer.Header.Get("X-Weft") == "composed"
	})
	if err := errors.Join(s.Legacy.Stop(), redis.Kill()); err != nil {
		t.Fatal(err)
	}
	if !isStale() {
		t.Error("no core while Redis is down")
	}
	again, err := harness.StartRedis(t.Context(), redis.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Kill() })
	if !isStale() {
		t.Error("no core while Redis is empty")
	}
	stopWeft(t, second)
}
