package rulesfile_test

import (
	"testing"

	"weft/internal/rulesfile"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int{
		"64MiB": 64 << 20, "1KiB": 1 << 10, "100000MiB": 100000 << 20,
		"": 0, "64": 0, "0MiB": 0, "64MB": 0, "64 MiB": 0, "-1MiB": 0, "1.5MiB": 0, "1000000MiB": 0,
	} {
		if got, err := rulesfile.ParseSize(text); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}
