package extproc

import (
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"weft/enrich"
)

// TestVerifiedInCapitals: a claim and a parameter are compared as values, independent of the case of their digits.
func TestVerifiedInCapitals(t *testing.T) {
	claim := enrich.Claim{Payload: "jwt", Name: "sub"}
	for _, test := range []struct {
		typ            enrich.Type
		claimed, param string
		want           bool
	}{
		{enrich.UUID, "0195B4A0-0000-7000-8000-0123456789AB", "0195b4a0-0000-7000-8000-0123456789ab", true},
		{enrich.UUID, "0195b4a0-0000-7000-8000-0123456789ab", "0195B4A0-0000-7000-8000-0123456789AB", true},
		{enrich.UUID, "0195b4a0-0000-7000-8000-0123456789ac", "0195b4a0-0000-7000-8000-0123456789ab", false},
		{enrich.String, "North", "north", false},
	} {
		payload, err := structpb.NewStruct(map[string]any{"jwt": map[string]any{"sub": test.claimed}})
		if err != nil {
			t.Fatal(err)
		}
		md := &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{JWTMetadata: payload}}
		param, ok := enrich.ParseParam(test.typ, test.param)
		if got := isVerified(md, claim, []enrich.Value{param}); !ok || got != test.want {
			t.Errorf("%q for %q: %t, want %t", test.claimed, test.param, got, test.want)
		}
	}
}
