package enrich_test

import (
	"os"
	"testing"

	"weft/enrich"
	"weft/internal/rulesfile"
)

// TestMain sets UserProfile, because package enrich cannot import the parser of the built-in rules.
func TestMain(m *testing.M) {
	enrich.UserProfile = func() []*enrich.Rule { return rulesfile.Builtin().Rules }
	os.Exit(m.Run())
}
