package storetest

import (
	"testing"

	"weft/enrich"
)

func TestMem(t *testing.T) {
	Test(t, func(_ *testing.T, _ *enrich.Source, documents ...string) enrich.Store { return Mem(documents) })
}
