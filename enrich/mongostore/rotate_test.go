package mongostore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/enrich"
	"weft/test/harness"
	"weft/test/storetest"
)

// TestPasswordRotates: new connections use the new password, and until MongoDB accepts it, reads use the old
// connections.
func TestPasswordRotates(t *testing.T) {
	source := storetest.Source()
	admin := collection(t, source).Database()
	must(t, admin.RunCommand(t.Context(), bson.D{
		{Key: "createUser", Value: "weft"}, {Key: "pwd", Value: "first"}, {Key: "roles", Value: bson.A{"readWrite"}},
	}).Err())
	uri := func(password string) string {
		return strings.Replace(mongod.URI(), "mongodb://", "mongodb://weft:"+password+"@", 1) + "/" + source.Database
	}
	closed := make(chan struct{}, 100)
	store, err := Open(uri("first"), func(o *options.ClientOptions) {
		o.SetPoolMonitor(&event.PoolMonitor{Event: func(e *event.PoolEvent) {
			if e.Type == event.ConnectionPoolClosed {
				closed <- struct{}{}
			}
		}})
	})
	must(t, err)
	defer func() { _ = store.Close(context.Background()) }()
	for _, test := range []struct {
		file, server string
		isAccepted   bool
	}{
		{"first", "first", true},
		{"second", "first", false}, // not yet changed at the server
		{"second", "second", true},
		{"second", "third", false}, // the previous connections are open
		{"third", "third", true},
	} {
		update := bson.D{{Key: "updateUser", Value: "weft"}, {Key: "pwd", Value: test.server}}
		must(t, admin.RunCommand(t.Context(), update).Err())
		if err := store.Connect(t.Context(), uri(test.file)); (err == nil) != test.isAccepted {
			t.Errorf("%s: %v", test.file, err)
		}
		if err := find7(t, store, source); !errors.Is(err, enrich.ErrNotFound) {
			t.Errorf("%s: %v", test.file, err)
		}
	}
	for range 5 {
		<-closed // the pools of all clients but the last: replaced ones, and ones that were not accepted
	}
}

// TestReadsOutliveTheirClient: a read continues on its client when the connection string changes.
func TestReadsOutliveTheirClient(t *testing.T) {
	source := storetest.Source()
	c := collection(t, source)
	for _, id := range []any{bson.A{7}, 8} { // the first needs a second command
		_, err := c.InsertOne(t.Context(), bson.D{{Key: "id", Value: id}})
		must(t, err)
	}
	read, replaced := make(chan struct{}), make(chan struct{})
	var once sync.Once
	store, err := Open(mongod.URI(), func(o *options.ClientOptions) {
		o.SetMonitor(&event.CommandMonitor{Succeeded: func(_ context.Context, e *event.CommandSucceededEvent) {
			if e.CommandName == "find" {
				once.Do(func() { close(read); <-replaced })
			}
		}})
	})
	must(t, err)
	defer func() { _ = store.Close(context.Background()) }()
	found := make(chan []enrich.Extension)
	go func() { found <- store.Find(t.Context(), source, number(7, 8)) }()
	<-read
	first := store.client
	must(t, store.Connect(t.Context(), mongod.URI()))
	if store.client == first {
		t.Error("the client is the same")
	}
	close(replaced)
	ext := <-found
	if !errors.Is(ext[0].Err, enrich.ErrWrongType) || ext[1].Err != nil {
		t.Errorf("%v, %v", ext[0].Err, ext[1].Err)
	}
}

// TestCertificatesRotate: new connections use the current files of the client certificate and the CA bundle.
func TestCertificatesRotate(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write := func(a *authority) {
		a.leaf(in("server.pem"))
		a.leaf(in("client.pem"))
		for _, name := range []string{"server-ca.pem", "ca.pem"} {
			must(t, os.WriteFile(in(name), a.pem, 0o600))
		}
	}
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	write(first)
	server, err := harness.StartMongod(t.Context(), harness.MongodOptions{Dir: t.TempDir(), Args: []string{
		"--tlsMode", "preferTLS", "--tlsCertificateKeyFile", in("server.pem"), "--tlsCAFile", in("server-ca.pem"),
	}})
	must(t, err)
	defer func() { _ = server.Kill() }()
	uri := fmt.Sprintf("%s/?serverSelectionTimeoutMS=2000&tlsCAFile=%s&tlsCertificateKeyFile=%s",
		server.URI(), in("ca.pem"), in("client.pem"))
	source := storetest.Source()
	store, err := Open(uri)
	must(t, err)
	defer func() { _ = store.Close(context.Background()) }()
	reads := func() {
		t.Helper()
		if err := find7(t, store, source); !errors.Is(err, enrich.ErrNotFound) {
			t.Error(err)
		}
	}
	reads()

	for _, name := range []string{"ca.pem", "client.pem"} {
		good, err := os.ReadFile(in(name))
		must(t, err)
		must(t, os.WriteFile(in(name), []byte("bad"), 0o600))
		if err := store.Connect(t.Context(), uri); err == nil {
			t.Errorf("a bad %s was accepted", name)
		}
		reads()
		must(t, os.WriteFile(in(name), good, 0o600))
	}

	write(second)
	if err := store.Connect(t.Context(), uri); err == nil {
		t.Error("rejected certificates replaced accepted ones")
	}
	reads()
	admin, err := mongo.Connect(options.Client().ApplyURI(server.URI()))
	must(t, err)
	defer func() { _ = admin.Disconnect(context.Background()) }()
	must(t, admin.Database("admin").RunCommand(t.Context(), bson.D{{Key: "rotateCertificates", Value: 1}}).Err())
	must(t, store.Connect(t.Context(), uri))
	reads()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte // its certificate
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key, a.pem = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

// leaf writes a file with a new key and its certificate, for a server or client on loopback.
func (a *authority) leaf(file string) {
	a.t.Helper()
	_, key, certificate := a.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: filepath.Base(file), Organization: []string{"weft"}},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	})
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), certificate...)
	must(a.t, os.WriteFile(file, text, 0o600))
}

// issue returns a certificate signed by the authority; the first one is its own.
func (a *authority) issue(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<60))
	must(a.t, err)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	must(a.t, err)
	certificate, err := x509.ParseCertificate(der)
	must(a.t, err)
	return certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
