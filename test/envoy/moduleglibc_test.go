//go:build cgo

package envoy_test

import (
	"debug/elf"
	"strconv"
	"strings"
	"testing"
)

// TestModuleNeedsOldGlibc: the library needs no symbol that is newer than glibc 2.34. Envoy's official images have 2.35
// or later.
func TestModuleNeedsOldGlibc(t *testing.T) {
	lib, err := library()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(lib)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	symbols, err := f.ImportedSymbols()
	if err != nil {
		t.Fatal(err)
	}
	newest := 0
	for _, s := range symbols {
		text, ok := strings.CutPrefix(s.Version, "GLIBC_2.")
		if !ok {
			continue
		}
		minor, err := strconv.Atoi(strings.Split(text, ".")[0])
		if err != nil {
			t.Fatal(err)
		}
		if newest = max(newest, minor); minor > 34 {
			t.Errorf("%s needs glibc 2.%d", s.Name, minor)
		}
	}
	if newest == 0 {
		t.Error("no symbol of glibc")
	}
}
