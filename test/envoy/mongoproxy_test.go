package envoy_test

import (
	"bytes"
	"strings"
	"testing"

	"weft/test/harness"
)

// startMongoProxy returns a connection string for the mongod of this package. It calls onFind for each find command,
// before mongod gets it. onFind may block until the end of the test.
func startMongoProxy(t testing.TB, onFind func()) string {
	t.Helper()
	p, err := harness.StartMongoProxy(strings.TrimPrefix(mongod.URI(), "mongodb://"), func(message []byte) []byte {
		if bytes.Contains(message, []byte("\x02find\x00")) { // the first element of the command: a string named find
			onFind()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p.URI
}
