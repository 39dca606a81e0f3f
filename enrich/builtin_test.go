package enrich_test

import (
	"os"
	"testing"

	"weft/enrich"
	"weft/internal/rulesfile"
)

// TestMain gives the tests of package enrich the built-in rules, which that package cannot parse itself.
func TestMain(m *testing.M) {
	enrich.UserProfile = func() []*enrich.Rule { return rulesfile.Builtin().Rules }
	os.Exit(m.Run())
}
