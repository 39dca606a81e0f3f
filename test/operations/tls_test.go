package operations_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"weft/test/harness"
)

// SPIFFE IDs of the tests.
const (
	weftID  = "spiffe://weft.test/weft"
	envoyID = "spiffe://weft.test/envoy"
)

// tlsFlags returns the flags of "weft serve" and "weft envoy" for mutual TLS with the files in a directory.
func tlsFlags(dir, address string) (serve, envoy []string) {
	in := func(name string) string { return filepath.Join(dir, name) }
	serve = []string{
		"--listen", address, "--tls-cert", in("weft.crt"), "--tls-key", in("weft.key"), "--tls-client-ca", in("ca.crt"),
		"--allow-spiffe-id", "spiffe://weft.test/another," + envoyID,
	}
	envoy = []string{
		"--weft", address, "--weft-tls-ca", in("ca.crt"), "--weft-tls-san", weftID,
		"--weft-tls-cert", in("envoy.crt"), "--weft-tls-key", in("envoy.key"),
	}
	return serve, envoy
}

// TestCertificatesRotate replaces the CA bundle, certificates and keys of weft and Envoy, step by step, under load and
// without a restart. All responses are composed.
func TestCertificatesRotate(t *testing.T) {
	s := startSystem(t)
	dir, later := t.TempDir(), time.Now().Add(time.Hour)
	old, fresh := newAuthority(t, "old"), newAuthority(t, "new")
	serial := old.leaf(dir, "weft", weftID, later)
	old.leaf(dir, "envoy", envoyID, later)
	publish(t, dir, map[string][]byte{"ca.crt": old.pem})

	serve, envoy := tlsFlags(dir, freeAddr(t))
	// Certificates are used only in handshakes, so connections are short.
	weft := startWeft(t, s, append(serve, "--max-connection-age", "200ms")...)
	envoy = append(envoy, "--weft-tls-secrets", dir)
	for _, name := range []string{"weft-ca", "weft-client"} {
		secret, err := harness.Bootstrap(t.Context(), s.Weft, append([]string{"--format", name}, envoy...)...)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, dir, map[string][]byte{name + ".yaml": secret})
	}
	startEnvoy(t, s, envoy...)
	stopLoad := startLoad(t, s, 8)
	awaitConnections := func(what string, more int) {
		t.Helper()
		const connections = "cluster.weft.upstream_cx_total"
		opened := stat(t, s, connections)
		harness.Eventually(t, what, func() bool { return t.Failed() || stat(t, s, connections) > opened+more })
	}
	awaitEnvoy := func(serial string) {
		t.Helper()
		harness.Eventually(t, "Envoy has "+serial, func() bool {
			answer, err := harness.Get(t.Context(), s.Envoy.Admin()+"/certs")
			return t.Failed() || err == nil && strings.Contains(answer.Body, serial)
		})
		// The admin interface shows the state of Envoy's main thread. New connections show that the workers use the
		// certificate.
		awaitConnections("Envoy's workers have "+serial, 4)
	}

	publish(t, dir, map[string][]byte{"ca.crt": slices.Concat(old.pem, fresh.pem)})
	awaitEnvoy(fresh.cert.SerialNumber.Text(16))
	harness.ExpectLog(t, weft, `msg="certificate loaded"`) // loaded again, since the CA bundle has changed
	next := fresh.leaf(dir, "weft", weftID, later)
	if next == serial {
		t.Fatal("two certificates have the same serial number")
	}
	harness.ExpectLog(t, weft, "serial="+next)
	awaitEnvoy(fresh.leaf(dir, "envoy", envoyID, later))
	publish(t, dir, map[string][]byte{"ca.crt": fresh.pem})
	harness.ExpectLog(t, weft, "serial="+next)

	fresh.leaf(dir, "weft", weftID, time.Now().Add(-time.Hour))
	harness.ExpectLog(t, weft, "the certificate expired at")
	publish(t, dir, map[string][]byte{"weft.key": []byte("no key")})
	harness.ExpectLog(t, weft, "failed to find any PEM data in key input")
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	harness.ExpectLog(t, weft, "certificate files rejected; the previous ones stay in use")
	awaitConnections("new connections use the previous certificate", 10)
	stopLoad()
}

// TestPeerIsRejected: weft and Envoy reject a peer with another identity. The legacy response passes, and weft logs the
// reason.
func TestPeerIsRejected(t *testing.T) {
	s := startSystem(t)
	later := time.Now().Add(time.Hour)
	tests := []struct {
		name   string
		change func(dir string, ca *authority, envoy []string) []string
		want   string // in weft's log
	}{
		{"another SPIFFE ID", func(dir string, ca *authority, envoy []string) []string {
			ca.leaf(dir, "envoy", envoyID+"/not", later)
			return envoy
		}, "the SPIFFE ID spiffe://weft.test/envoy/not is not allowed; add it to --allow-spiffe-id"},
		{"no SPIFFE ID", func(dir string, ca *authority, envoy []string) []string {
			ca.leaf(dir, "envoy", "", later)
			return envoy
		}, "the client certificate has no SPIFFE ID"},
		{"another authority", func(dir string, _ *authority, envoy []string) []string {
			newAuthority(t, "other").leaf(dir, "envoy", envoyID, later)
			return envoy
		}, "certificate signed by unknown authority"},
		{"an expired certificate", func(dir string, ca *authority, envoy []string) []string {
			ca.leaf(dir, "envoy", envoyID, time.Now().Add(-time.Hour))
			return envoy
		}, "certificate has expired"},
		{"no certificate", func(_ string, _ *authority, envoy []string) []string {
			return envoy[:len(envoy)-4]
		}, "client didn't provide a certificate"},
		{"no TLS", func(_ string, _ *authority, envoy []string) []string {
			return envoy[:2]
		}, "first record does not look like a TLS handshake"},
		{"another SPIFFE ID of weft", func(dir string, ca *authority, envoy []string) []string {
			ca.leaf(dir, "weft", weftID+"/not", later)
			return envoy
		}, "remote error: tls"},
		{"valid certificates", func(_ string, _ *authority, envoy []string) []string { return envoy }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			ca := newAuthority(t, "ca")
			ca.leaf(dir, "weft", weftID, later)
			ca.leaf(dir, "envoy", envoyID, later)
			publish(t, dir, map[string][]byte{"ca.crt": ca.pem})
			serve, envoy := tlsFlags(dir, freeAddr(t))
			envoy = test.change(dir, ca, envoy)
			weft := startWeft(t, s, serve...)
			startEnvoy(t, s, envoy...)
			want := harness.NewUser(7).Composite()
			if test.want != "" {
				want = harness.NewUser(7).Core
			}
			if got := get(t, s); got.Status != http.StatusOK || got.Body != want {
				t.Errorf("%s\nwant %s", got, want)
			}
			if test.want != "" {
				harness.ExpectLog(t, weft, test.want)
			}
			if err := s.Envoy.Kill(); err != nil {
				t.Error(err)
			}
		})
	}
}
