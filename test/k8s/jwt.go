package k8s

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
)

// Issuer signs JSON web tokens. The issuer claim is "issuer".
type Issuer struct {
	t   testing.TB
	key *ecdsa.PrivateKey
}

// NewIssuer returns an Issuer with a new key.
func NewIssuer(t testing.TB) *Issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{t, key}
}

// JWKS returns the public key as a JSON web key set.
func (i *Issuer) JWKS() string {
	i.t.Helper()
	point, err := i.key.PublicKey.Bytes() // 4, x, y
	if err != nil {
		i.t.Fatal(err)
	}
	return fmt.Sprintf(`{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"k","x":%q,"y":%q}]}`,
		base64url(point[1:33]), base64url(point[33:]))
}

// Bearer returns the value of an Authorization header with a token for a subject.
func (i *Issuer) Bearer(subject string) string {
	i.t.Helper()
	signed := base64url([]byte(`{"alg":"ES256","typ":"JWT","kid":"k"}`)) + "." +
		base64url(fmt.Appendf(nil, `{"iss":"issuer","sub":%q,"exp":4102444800}`, subject))
	hash := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, i.key, hash[:])
	if err != nil {
		i.t.Fatal(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return "Bearer " + signed + "." + base64url(signature)
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
