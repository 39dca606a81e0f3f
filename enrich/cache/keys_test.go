package cache

import (
	"strings"
	"testing"
	"unsafe"

	"weft/enrich"
)

// TestKeysOfClients: the memory of a cache does not depend on the length of paths. Clients choose keys, and a missing
// document is kept, too.
func TestKeysOfClients(t *testing.T) {
	test(t, func(h *harness) {
		results := h.cache.used.Load().tables[h.src]
		path := "/users/name?" + strings.Repeat("x", 50_000)
		keep := func(text string) (kept []string) {
			k := enrich.Key{{Type: enrich.String, Text: text}}
			results.keep(entryKeyOf(k), enrich.Extension{Err: enrich.ErrNotFound}, results.begin())
			for key := range results.entries.Keys() {
				kept = append(kept, key.last.Text)
			}
			return kept
		}
		if kept := keep(path[12:]); len(kept) != 0 {
			t.Errorf("kept a key of %d bytes", len(kept[0]))
		}
		name := path[7:11]
		if kept := keep(name); len(kept) != 1 || kept[0] != name || unsafe.StringData(kept[0]) == unsafe.StringData(name) {
			t.Errorf("kept %q, which must not share the memory of the path", kept)
		}
	})
}
