package envoy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	jwtv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/jwt_authn/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"weft/enrich"
	"weft/internal/rulesfile"
)

// TestDegradePolicy: if the legacy service, which would have authorized the client, fails, the policy decides whether
// the client gets the extension. Envoy's own jwt_authn filter verifies the client's token.
func TestDegradePolicy(t *testing.T) {
	checkDegradePolicy(t, func(policy enrich.DegradePolicy, filters []*hcmv3.HttpFilter) *system {
		rules := rulesfile.Builtin().Rules
		for _, r := range rules {
			r.Degrade, r.Identity = policy, enrich.Claim{Payload: "token", Name: "user"}
		}
		return startSystem(t, systemOptions{rules: rules, filters: filters})
	})
}

// checkDegradePolicy checks each policy in a system that start starts with filters.
func checkDegradePolicy(t *testing.T, start func(enrich.DegradePolicy, []*hcmv3.HttpFilter) *system) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	alone := "200\nx-weft: degraded; reason=legacy-error\n\n" + withoutCore(7)
	failure := "500\nx-weft: passed; reason=not-degraded\n\nno"
	tests := []struct {
		policy enrich.DegradePolicy
		token  string // empty for none
		want   string
	}{
		{enrich.DegradeAlways, "", alone},
		{enrich.DegradeAuthenticated, token(t, key, `"7"`), alone},
		{enrich.DegradeAuthenticated, token(t, key, `7`), alone},
		{enrich.DegradeAuthenticated, token(t, key, `"8"`), failure},
		{enrich.DegradeAuthenticated, token(t, key, `["7"]`), failure},
		{enrich.DegradeAuthenticated, token(t, key, `{"a":"7"}`), failure},
		{enrich.DegradeAuthenticated, token(t, key, `true`), failure},
		{enrich.DegradeAuthenticated, "", failure},
		{enrich.DegradeNever, token(t, key, `"7"`), failure},
		// What jwt_authn rejects does not reach the legacy service. Envoy's local reply passes, as any 401.
		{enrich.DegradeAlways, token(t, forged, `"7"`), "401\n\nJwt verification fails"},
		{enrich.DegradeAuthenticated, token(t, forged, `"7"`), "401\n\nJwt verification fails"},
	}
	systems := map[enrich.DegradePolicy]*system{}
	policies := []enrich.DegradePolicy{enrich.DegradeAlways, enrich.DegradeAuthenticated, enrich.DegradeNever}
	for _, policy := range policies {
		systems[policy] = start(policy, []*hcmv3.HttpFilter{jwtFilter(t, key)})
		systems[policy].legacy.answer("/api/v1/users/7", raw("HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno"))
	}
	for i, test := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var headers []string
			if test.token != "" {
				headers = []string{"authorization", "Bearer " + test.token}
			}
			checkAnswer(t, test.want, "", systems[test.policy].get(t, "/api/v1/users/7", headers...))
		})
	}
}

// jwtFilter verifies tokens that key has signed. Requests without a token pass.
func jwtFilter(t *testing.T, key *ecdsa.PrivateKey) *hcmv3.HttpFilter {
	point, err := key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	keys := fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","x":%q,"y":%q}]}`, b64(point[1:33]), b64(point[33:]))
	config, err := anypb.New(&jwtv3.JwtAuthentication{
		Providers: map[string]*jwtv3.JwtProvider{"test": {
			JwksSourceSpecifier: &jwtv3.JwtProvider_LocalJwks{LocalJwks: &corev3.DataSource{
				Specifier: &corev3.DataSource_InlineString{InlineString: keys},
			}},
			PayloadInMetadata: "token",
		}},
		Rules: []*jwtv3.RequirementRule{{
			Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			RequirementType: &jwtv3.RequirementRule_Requires{Requires: &jwtv3.JwtRequirement{
				RequiresType: &jwtv3.JwtRequirement_RequiresAny{RequiresAny: &jwtv3.JwtRequirementOrList{
					Requirements: []*jwtv3.JwtRequirement{
						{RequiresType: &jwtv3.JwtRequirement_ProviderName{ProviderName: "test"}},
						{RequiresType: &jwtv3.JwtRequirement_AllowMissing{AllowMissing: &emptypb.Empty{}}},
					},
				}},
			}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &hcmv3.HttpFilter{
		Name:       "envoy.filters.http.jwt_authn",
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: config},
	}
}

// token returns a signed token whose claim "user" is a JSON value (RFC 7515, ES256).
func token(t *testing.T, key *ecdsa.PrivateKey, user string) string {
	signed := b64([]byte(`{"alg":"ES256","typ":"JWT"}`)) + "." + b64([]byte(`{"user":`+user+`}`))
	hash := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + b64(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
