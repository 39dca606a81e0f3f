package cli

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
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
