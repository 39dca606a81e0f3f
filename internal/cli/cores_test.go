package cli

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"weft/enrich/corestore"
	"weft/test/harness"
)

func startRedis(t *testing.T) *harness.Redis {
	t.Helper()
	server, err := harness.StartRedis(t.Context(), harness.RedisOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	return server
}

// newKeeping returns a server that only keeps cores.
func newKeeping(t *testing.T, url, file string) *connecting {
	t.Helper()
	c := newConnecting(t, "", "")
	c.redisURL, c.redisURLFile, c.coreCacheSize, c.registry = url, file, "1MiB", prometheus.NewRegistry()
	if err := c.openCores(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.closeCores)
	return c
}

// awaitLog waits for a log line that contains want, and returns it. On a slow machine, Redis may be unavailable to
// weft at any time.
func (c *connecting) awaitLog(want string) string {
	for {
		if line := <-c.log; strings.Contains(line, want) {
			return line
		}
	}
}

// expectKeeps checks that a core is kept.
func (c *connecting) expectKeeps() {
	c.t.Helper()
	harness.Eventually(c.t, "a core is kept", func() bool {
		_ = c.cores.Update(c.t.Context(), "k", func([]byte) ([]byte, time.Duration) { return []byte("v"), time.Hour })
		got, err := c.cores.Get(c.t.Context(), "k")
		return string(got) == "v" && err == nil
	})
}

func (c *connecting) metrics() map[string]float64 {
	c.t.Helper()
	families, err := c.registry.Gather()
	if err != nil {
		c.t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		values[f.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return values
}

func TestCoresInMemory(t *testing.T) {
	c := newKeeping(t, "", "")
	c.expectKeeps()
	if size := c.cores.MaxValue("k"); size < 100<<10 || size > 128<<10 || c.localCores != nil {
		t.Errorf("largest value %d, local store %v", size, c.localCores)
	}
	harness.Eventually(t, "metrics of the core", func() bool {
		m := c.metrics()
		return m["weft_core_store_entries"] == 1 && m["weft_core_store_bytes"] > 2 && len(m) == 2
	})
}

// TestRedisUnavailable: weft starts without Redis, and logs when it becomes available and unavailable.
func TestRedisUnavailable(t *testing.T) {
	server := startRedis(t)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	c := newKeeping(t, server.URL(), "")
	if line := c.awaitLog(redisUnavailable); !strings.Contains(line, "connection refused") {
		t.Error(line)
	}
	if size := c.localCores.MaxValue("k"); size < 100<<10 || size > 128<<10 {
		t.Errorf("largest value in the local store %d", size)
	}
	if m := c.metrics(); m["weft_core_store_open"] != 1 || m["weft_core_store_errors_total"] == 0 || len(m) != 4 {
		t.Errorf("%v", m)
	}
	again, err := harness.StartRedis(t.Context(), server.Options)
	if err != nil {
		t.Fatal(err)
	}
	c.awaitLog(redisAvailable)
	c.expectKeeps()
	if err := again.Kill(); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "the circuit is open", func() bool {
		_, _ = c.cores.Get(t.Context(), "k")
		return c.metrics()["weft_core_store_open"] == 1
	})
}

// TestRedisURLRotates: weft uses a new URL in the file.
func TestRedisURLRotates(t *testing.T) {
	server := startRedis(t)
	setPassword := func(password string) {
		t.Helper()
		if _, err := server.Run(t.Context(),
			"ACL", "SETUSER", "weft", "on", "resetpass", ">"+password, "~weft:*", "+@all"); err != nil {
			t.Fatal(err)
		}
	}
	url := func(password string) string { return "redis://weft:" + password + "@" + server.Addr() }
	setPassword("first")
	file := filepath.Join(t.TempDir(), "url")
	replace(t, file, url("first"))
	c := newKeeping(t, url("first"), file)
	c.expectKeeps()
	for text, want := range map[string]string{
		"": "is empty", "redis://weft:s3cret#@h": "percent-encode", "redis://weft:s3cret@h?x=1": "unexpected option: x",
	} {
		replace(t, file, text)
		if line := c.awaitLog(redisURLInvalid); !strings.Contains(line, want) || strings.Contains(line, "s3cret") {
			t.Errorf("%s: %s", text, line)
		}
		c.expectKeeps()
	}
	replace(t, file, url("second")+"\n")
	c.awaitLog(redisURLUpdated)
	harness.Eventually(t, "the circuit is open", func() bool {
		_, err := c.cores.Get(t.Context(), "k")
		return err != nil && c.metrics()["weft_core_store_open"] == 1
	})
	c.awaitLog("WRONGPASS")
	setPassword("second")
	c.expectKeeps()
}

// TestRedisURLError: errors describe what is wrong, but not the password.
func TestRedisURLError(t *testing.T) {
	for url, want := range map[string]string{
		"http://h":                     "--redis-url: redis: invalid URL scheme: http",
		"redis://u:s3cret@h?size=1":    "--redis-url: redis: unexpected option: size",
		"redis://u:s3cret@h:x":         `--redis-url: parse "redis://h:x": invalid port ":x" after host`,
		"redis://u:s3cret/x@h":         "--redis-url: invalid user name or password; percent-encode it",
		"redis://u:s3cret#x@h":         "--redis-url: invalid user name or password; percent-encode it",
		"redis://u:1/s3cret@h:1":       "--redis-url: invalid user name or password; percent-encode it",
		"redis://u:%s3cret@h":          "--redis-url: invalid user name or password; percent-encode it",
		"redis://u:s3cret@x@h/nothing": `--redis-url: redis: invalid database number: "nothing"`,
	} {
		err := corestore.Check(url)
		if err == nil {
			t.Errorf("%s: no error", url)
			continue
		}
		if got := redisURLError(url, err).Error(); !strings.HasPrefix(got, want) || strings.Contains(got, "s3cret") {
			t.Errorf("%s: %s", url, got)
		}
	}
}
