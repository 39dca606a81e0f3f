package grpcloop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/credentials"

	"weft/internal/grpcloop"
)

// certificate returns the configuration of one who has a certificate that it has signed itself, and that believes in that.
func certificate(t testing.TB, name string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(100 * 365 * 24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: pool, ServerName: name}
}

// TestALPN: HTTP/2 is spoken with those who have asked for it, only.
func TestALPN(t *testing.T) {
	config := certificate(t, "weft")
	for _, test := range []struct {
		name   string
		asks   []string
		spoken bool
	}{
		{"h2", []string{"h2"}, true},
		{"h2 among others", []string{"http/1.1", "h2"}, true},
		{"nothing", nil, false},
		{"http/1.1", []string{"http/1.1"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, &grpcloop.Server{Credentials: credentials.NewTLS(config)})
			near, far := socketPair(t)
			theirs := config.Clone()
			theirs.NextProtos = test.asks
			c := w.dialOver(t, net.Conn(tls.Client(near, theirs)), far)
			if !test.spoken {
				c.wantNext("end")
				return
			}
			c.greet()
			c.headers(1, true, request("/t/echo")...)
			c.want("HEADERS 1 :status=200 grpc-status=0 end")
		})
	}
}
