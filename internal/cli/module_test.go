package cli

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"weft/test/harness"
)

// TestModuleConfig validates configurations of a filter.
func TestModuleConfig(t *testing.T) {
	for config, want := range map[string]string{
		``:                            "",
		`{}`:                          "",
		`{"admin":"","budget":"1s"}`:  "",
		`{"max-waiting-reads": 1e3}`:  `filter_config: invalid value "1e3" for flag -max-waiting-reads: `,
		`{"max-waiting-reads": 1024}`: "",
		`{"server-timing": false}`:    "",
		`[]`:                          `filter_config: want a JSON object of flags, such as {"rules": "rules.yaml"}: json: `,
		`{"listen": "x"}`:             `filter_config: unknown member "listen"; use one of rules, `,
		`{"rules": ["x"]}`:            `filter_config: member "rules": want a string, a number, true or false`,
		`{"rules": "/no/such/file"}`:  `filter_config: rules file: open /no/such/file: no such file or directory`,
		`{"mongodb-uri": "mongodb://u:p@h"}`: `filter_config: member "mongodb-uri" has a password, ` +
			`which Envoy's admin interface shows: use "mongodb-uri-file" or WEFT_MONGODB_URI, and change the password`,
		`{"redis-url": "redis://u:p@h"}`: `filter_config: member "redis-url" has a password, ` +
			`which Envoy's admin interface shows: use "redis-url-file" or WEFT_REDIS_URL, and change the password`,
		`{"core-cache-size": "1MiB", "redis-url": "redis://h"}`: "",
		`{"core-cache-size": "big"}`: `filter_config: invalid value "big" for flag -core-cache-size: ` +
			`want a size such as 512KiB or 64MiB`,
	} {
		got := ""
		if err := CheckModule(config, "devel"); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %s\nwant %s", config, got, want)
		}
	}
}

func TestCheckEnvoy(t *testing.T) {
	for printed, warns := range map[string]bool{
		"\n/usr/bin/envoy  version: 9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL\n\n": false,
		"envoy  version: 9e55/1.39.3/Clean/RELEASE/BoringSSL":                                                    true,
		"envoy  version: 9e55/1.41.0-dev/Clean/RELEASE/BoringSSL":                                                true,
		"": true,
	} {
		var log bytes.Buffer
		m := &Module{logger: slog.New(slog.NewTextHandler(&log, nil))}
		m.CheckEnvoy(printed)
		if log.Len() > 0 != warns {
			t.Errorf("%q: %s", printed, log.String())
		}
	}
}

// TestModuleAdmin: a module whose configuration has changed gets the admin address when the previous module ends.
func TestModuleAdmin(t *testing.T) {
	admin, err := harness.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	start := func(level string) *Module {
		t.Helper()
		config := fmt.Sprintf(`{"admin": %q, "mongodb-uri": "mongodb://127.0.0.1:1", "log-level": %q}`, admin, level)
		m, err := StartModule(config, "devel", io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	before := start("warn")
	after := start("error")
	defer after.Close()
	before.Close()
	harness.Eventually(t, "the new module serves metrics", func() bool {
		answer, err := harness.Get(t.Context(), "http://"+admin+"/metrics")
		return err == nil && answer.Status == 200
	})
	start("info").Close() // while it waits for the address
}

// TestModuleRejected: a configuration that Envoy rejects, which continues with the previous one, leaves nothing behind.
func TestModuleRejected(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for _, flag := range []string{
		`"rules": "/no/such/file"`, `"mongodb-uri": "x"`, `"redis-url": "x"`, `"admin": "192.0.2.1:80"`,
		`"otlp-endpoint": "x"`,
	} {
		if m, err := StartModule(`{"admin": "", `+flag+`}`, "devel", io.Discard); err == nil {
			m.Close()
			t.Errorf("%s is not rejected", flag)
		}
	}
}
