package envoyhttp

import (
	"testing"

	"weft/enrich"
)

// TestIsVerified: a claim and a parameter are compared as values, independent of the case of their digits.
func TestIsVerified(t *testing.T) {
	for _, test := range []struct {
		typ     enrich.Type
		claimed any
		param   string
		want    bool
	}{
		{enrich.UUID, "0195B4A0-0000-7000-8000-0123456789AB", "0195b4a0-0000-7000-8000-0123456789ab", true},
		{enrich.UUID, "0195b4a0-0000-7000-8000-0123456789ab", "0195B4A0-0000-7000-8000-0123456789AB", true},
		{enrich.UUID, "0195b4a0-0000-7000-8000-0123456789ac", "0195b4a0-0000-7000-8000-0123456789ab", false},
		{enrich.String, "North", "north", false},
		{enrich.String, 7.0, "7", false},
		{enrich.Int64, 7.0, "7", true},
		{enrich.Int64, "9007199254740993", "9007199254740993", true},
		{enrich.Int64, float64(1 << 53), "9007199254740993", false},
		{enrich.Int64, float64(1 << 53), "9007199254740992", false},
		{enrich.Int64, []any{"7"}, "7", false},
		{enrich.Int64, nil, "7", false},
	} {
		param, ok := enrich.ParseParam(test.typ, test.param)
		if got := IsVerified(test.claimed, []enrich.Value{param}); !ok || got != test.want {
			t.Errorf("%v for %q: %t, want %t", test.claimed, test.param, got, test.want)
		}
	}
}
