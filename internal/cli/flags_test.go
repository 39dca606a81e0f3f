package cli_test

import (
	"bytes"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	urfave "github.com/urfave/cli/v3"

	"weft/internal/cli"
)

// TestEnvironment: each flag has an environment variable, and docs/operations.md explains the flags for operators.
func TestEnvironment(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cli.New("").Commands {
		for _, flag := range c.Flags {
			name := flag.Names()[0]
			variables := flag.(urfave.DocGenerationFlag).GetEnvVars()
			isOther := func(v string) bool { return !strings.HasPrefix(v, "OTEL_") } // OTEL_ are OpenTelemetry's own
			if len(variables) == 0 || !strings.HasPrefix(variables[0], "WEFT_") ||
				slices.ContainsFunc(variables[1:], isOther) {
				t.Errorf("weft %s --%s: environment variables %v", c.Name, name, variables)
				continue
			}
			prefixes := []string{"drain-", "max-", "tls-", "weft-tls-", "allow-", "insecure", "mongodb-uri-file"}
			isForOperators := slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(name, p) })
			if isForOperators && !slices.Contains(words(string(doc)), "--"+name) {
				t.Errorf("docs/operations.md does not explain weft %s --%s", c.Name, name)
			}
		}
	}
}

// TestEnvironmentErrors: an invalid environment variable has exit status 2, like an invalid flag.
func TestEnvironmentErrors(t *testing.T) {
	tests := []struct{ variable, value, want string }{
		{"WEFT_MAX_STREAMS", "many", `could not parse "many" as uint32 value from environment variable ` +
			`"WEFT_MAX_STREAMS" for flag max-streams`},
		{"WEFT_DRAIN_WINDOW", "5", `"WEFT_DRAIN_WINDOW" for flag drain-window: time: missing unit in duration "5"`},
		{"WEFT_MAX_WAITING_READS", "0", `"WEFT_MAX_WAITING_READS" for flag max-waiting-reads: want 1 or more`},
		{"WEFT_INSECURE", "maybe", `"WEFT_INSECURE" for flag insecure: parse error`},
		{"WEFT_LOG_LEVEL", "loud", `--log-level "loud": want debug, info, warn or error`},
	}
	for _, test := range tests {
		t.Run(test.variable, func(t *testing.T) {
			t.Setenv(test.variable, test.value)
			var stderr bytes.Buffer
			status := cli.Run(t.Context(), []string{"weft", "serve"}, io.Discard, &stderr, "")
			got := stderr.String()
			if status != 2 || !strings.HasPrefix(got, "weft: ") || !strings.Contains(got, test.want) {
				t.Errorf("%d, want 2\n got %s\nwant %s", status, got, test.want)
			}
		})
	}
}

// words returns the words of a Markdown text, without punctuation around them.
func words(s string) []string {
	return strings.Fields(strings.NewReplacer("`", " ", `"`, " ", ",", " ", "(", " ", ")", " ", ";", " ").Replace(s))
}
