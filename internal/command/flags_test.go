package command_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"weft/internal/command"
)

// TestEnvironment: each flag has an environment variable, and those for operators are in their document.
func TestEnvironment(t *testing.T) {
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range command.New("").Commands {
		for _, flag := range c.Flags {
			name := flag.Names()[0]
			variables := flag.(cli.DocGenerationFlag).GetEnvVars()
			isOther := func(v string) bool { return !strings.HasPrefix(v, "OTEL_") } // those are OpenTelemetry's own
			if len(variables) == 0 || !strings.HasPrefix(variables[0], "WEFT_") || slices.ContainsFunc(variables[1:], isOther) {
				t.Errorf("weft %s --%s: environment variables %v", c.Name, name, variables)
				continue
			}
			for _, prefix := range []string{"drain-", "max-", "tls-", "weft-tls-", "allow-", "insecure", "mongodb-uri-file"} {
				if strings.HasPrefix(name, prefix) && !slices.Contains(strings.Fields(plain(string(doc))), variables[0]) {
					t.Errorf("docs/operations.md does not have %s of weft %s --%s", variables[0], c.Name, name)
				}
			}
		}
	}
}

// plain is a text without what stands around words.
func plain(s string) string {
	return strings.NewReplacer("`", " ", ",", " ", "(", " ", ")", " ", ";", " ").Replace(s)
}
