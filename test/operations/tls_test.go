package operations_test

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// SPIFFE ids of the tests.
const (
	weftID  = "spiffe://weft.test/weft"
	envoyID = "spiffe://weft.test/envoy"
)

// tlsFlags are those of "weft serve" and "weft envoy" for mutual TLS with the files of a folder.
func tlsFlags(dir, address string) (serve, envoy []string) {
	in := func(name string) string { return filepath.Join(dir, name) }
	serve = []string{
		"--listen", address, "--tls-cert", in("weft.crt"), "--tls-key", in("weft.key"), "--tls-client-ca", in("ca.crt"),
		"--allow-spiffe-id", "spiffe://weft.test/another," + envoyID,
	}
	envoy = []string{
		"--weft", address, "--weft-tls-ca", in("ca.crt"), "--weft-tls-san", weftID, "--weft-tls-cert", in("envoy.crt"), "--weft-tls-key", in("envoy.key"),
	}
	return serve, envoy
}

// TestCertificatesRotate replaces authority, certificates and keys of both sides, step by step and under load, while neither
// is restarted. No answer is less than whole.
func TestCertificatesRotate(t *testing.T) {
	w := startWorld(t)
	dir, later := t.TempDir(), time.Now().Add(time.Hour)
	old, fresh := newAuthority(t, "old"), newAuthority(t, "new")
	serial := old.leaf(dir, "weft", weftID, later)
	old.leaf(dir, "envoy", envoyID, later)
	publish(t, dir, map[string][]byte{"ca.crt": old.pem})

	address := freePort(t)
	serve, envoy := tlsFlags(dir, address)
	// Handshakes are what is looked at here, so connections are young.
	s := startServer(t, append(serve, "--mongodb-uri", w.mongod.URI(), "--max-connection-age", "200ms")...)
	envoy = append(envoy, "--weft-tls-secrets", dir)
	for _, name := range []string{"weft-ca", "weft-client"} {
		secret, err := weft(t.Context(), append([]string{"envoy", "--format", name}, envoy...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		publish(t, dir, map[string][]byte{name + ".yaml": secret})
	}
	w.startEnvoy(t, envoy...)
	load := w.startLoad(t, 8)
	envoyHas := func(serial string) {
		t.Helper()
		eventually(t, "Envoy has "+serial, func() bool {
			return t.Failed() || strings.Contains(page(t, strings.TrimPrefix(w.envoy.Admin(), "http://")+"/certs"), serial)
		})
		// That is what Envoy's main thread has; its workers have it when they have made connections since.
		opened := w.stat(t, "cluster.weft.upstream_cx_total")
		eventually(t, "Envoy's workers have "+serial, func() bool {
			return t.Failed() || w.stat(t, "cluster.weft.upstream_cx_total") > opened+4
		})
	}

	publish(t, dir, map[string][]byte{"ca.crt": slices.Concat(old.pem, fresh.pem)})
	envoyHas(fresh.cert.SerialNumber.Text(16))
	s.expect(t, `msg="TLS certificate"`) // read again, since the authorities have changed
	next := fresh.leaf(dir, "weft", weftID, later)
	if next == serial {
		t.Fatal("two certificates have one serial number")
	}
	s.expect(t, "serial="+next)
	envoyHas(fresh.leaf(dir, "envoy", envoyID, later))
	publish(t, dir, map[string][]byte{"ca.crt": fresh.pem})
	s.expect(t, "serial="+next)

	fresh.leaf(dir, "weft", weftID, time.Now().Add(-time.Hour))
	s.expect(t, "the certificate has expired")
	publish(t, dir, map[string][]byte{"weft.key": []byte("no key")})
	s.expect(t, "failed to find any PEM data in key input")
	if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "the certificate files are refused; those from before stay in use")
	opened := w.stat(t, "cluster.weft.upstream_cx_total")
	eventually(t, "connections are made with the certificate from before", func() bool {
		return t.Failed() || w.stat(t, "cluster.weft.upstream_cx_total") > opened+10
	})
	t.Logf("%d whole answers", load.end())
}

// TestRefused: whoever is not who weft, or Envoy, wants to talk with gets nothing. The legacy response passes, and weft's log
// says why.
func TestRefused(t *testing.T) {
	w := startWorld(t)
	later := time.Now().Add(time.Hour)
	tests := []struct {
		name   string
		change func(dir string, ca *authority, envoy []string) []string
		want   string // in weft's log
	}{
		{"another SPIFFE id", func(dir string, ca *authority, envoy []string) []string {
			ca.leaf(dir, "envoy", envoyID+"/not", later)
			return envoy
		}, "the SPIFFE id spiffe://weft.test/envoy/not is not among those of --allow-spiffe-id"},
		{"no SPIFFE id", func(dir string, ca *authority, envoy []string) []string {
			ca.leaf(dir, "envoy", "", later)
			return envoy
		}, "the certificate has no SPIFFE id"},
		{"another authority", func(dir string, _ *authority, envoy []string) []string {
			newAuthority(t, "other").leaf(dir, "envoy", envoyID, later)
			return envoy
		}, "certificate signed by unknown authority"},
		{"an old certificate", func(dir string, ca *authority, envoy []string) []string {
			ca.leaf(dir, "envoy", envoyID, time.Now().Add(-time.Hour))
			return envoy
		}, "certificate has expired"},
		{"no certificate", func(_ string, _ *authority, envoy []string) []string {
			return envoy[:len(envoy)-4]
		}, "client didn't provide a certificate"},
		{"no TLS", func(_ string, _ *authority, envoy []string) []string {
			return envoy[:2]
		}, "first record does not look like a TLS handshake"},
		{"a weft of another name", func(dir string, ca *authority, envoy []string) []string {
			ca.leaf(dir, "weft", weftID+"/not", later)
			return envoy
		}, "remote error: tls"},
		{"all is well", func(_ string, _ *authority, envoy []string) []string { return envoy }, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			ca := newAuthority(t, "ca")
			ca.leaf(dir, "weft", weftID, later)
			ca.leaf(dir, "envoy", envoyID, later)
			publish(t, dir, map[string][]byte{"ca.crt": ca.pem})
			serve, envoy := tlsFlags(dir, freePort(t))
			envoy = test.change(dir, ca, envoy)
			s := startServer(t, append(serve, "--mongodb-uri", w.mongod.URI())...)
			w.startEnvoy(t, envoy...)
			want := composite(7)
			if test.want != "" {
				want = core("7")
			}
			status, body, outcome, err := w.ask(http.DefaultClient, 7)
			if err != nil || status != http.StatusOK || body != want {
				t.Errorf("%v, %d, x-weft %q\n got %s\nwant %s", err, status, outcome, body, want)
			}
			if test.want != "" {
				s.expect(t, test.want)
			}
			_ = w.envoy.Kill()
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestSocketMode: nobody else on the machine may connect.
func TestSocketMode(t *testing.T) {
	at := socket(t)
	startServer(t, "--listen", at)
	info, err := os.Stat(strings.TrimPrefix(at, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != os.ModeSocket|0o660 {
		t.Errorf("%v", got)
	}
}
