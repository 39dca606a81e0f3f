package extproc

import (
	"encoding/hex"
	"testing"
)

func TestParseTraceParent(t *testing.T) {
	const id, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for text, want := range map[string]string{
		"00-" + id + "-" + parent + "-01":                       "sampled",
		"00-" + id + "-" + parent + "-03":                       "sampled",
		"00-" + id + "-" + parent + "-00":                       "not sampled",
		"01-" + id + "-" + parent + "-01-more":                  "sampled",
		"01-" + id + "-" + parent + "-01more":                   "",
		"00-" + id + "-" + parent + "-01-more":                  "",
		"ff-" + id + "-" + parent + "-01":                       "",
		"00-" + id + "-" + parent + "-0":                        "",
		"00-" + id + "-" + parent + "-0x":                       "",
		"00-0AF7651916CD43DD8448EB211C80319C-" + parent + "-01": "",
		"00-00000000000000000000000000000000-" + parent + "-01": "",
		"00-" + id + "-0000000000000000-01":                     "",
		"00-" + id[1:] + "--" + parent + "-01":                  "",
		"":                                                      "",
	} {
		got, ok := parseTraceParent(text)
		said := ""
		if ok {
			said = "not sampled"
			if got.Sampled {
				said = "sampled"
			}
			if hex.EncodeToString(got.ID[:]) != id || hex.EncodeToString(got.Parent[:]) != parent {
				t.Errorf("%s: %x, %x", text, got.ID, got.Parent)
			}
		}
		if said != want {
			t.Errorf("%q: %q, want %q", text, said, want)
		}
	}
}
