package mongostore

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/net/dns/dnsmessage"

	"weft/enrich"
	"weft/test/harness"
	"weft/test/storetest"
)

// testDNS returns a DNS server in which cluster.weft.test is the mongod of the tests.
func testDNS(t *testing.T) *harness.DNS {
	t.Helper()
	u, err := url.Parse(mongod.URI())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	dns := harness.NewDNS("cluster.weft.test", "db.weft.test", port)
	t.Cleanup(dns.Use())
	return dns
}

const srvURI = "mongodb+srv://cluster.weft.test/?tls=false"

// TestHostsInDNS: a Store whose hosts cannot be looked up fails its reads, and recovers when they can.
func TestHostsInDNS(t *testing.T) {
	dns := testDNS(t)
	store := New()
	source := storetest.Source()
	c := collection(t, source)
	if _, err := c.InsertOne(t.Context(), bson.D{{Key: "id", Value: 7}}); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		set  func(failed bool)
	}{
		{"DNS cannot be reached", dns.SetDown},
		{"SRV records cannot be looked up", func(failed bool) { dns.SetFailed(dnsmessage.TypeSRV, failed) }},
		// For example, their options name the database of the user.
		{"TXT records cannot be looked up", func(failed bool) { dns.SetFailed(dnsmessage.TypeTXT, failed) }},
	} {
		test.set(true)
		if err := store.Connect(t.Context(), srvURI); !errors.As(err, new(*net.DNSError)) {
			t.Errorf("%s: %v", test.name, err)
		}
		test.set(false)
		for _, keys := range [][]enrich.Key{number(7), number(7, 8)} {
			for _, ext := range store.Find(t.Context(), source, keys) {
				want := "read " + source.Database + ".documents: "
				if !IsUnavailable(ext.Err) || !strings.HasPrefix(ext.Err.Error(), want) {
					t.Errorf("%s: %s, %v", test.name, ext.JSON, ext.Err)
				}
			}
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.IndexAdvice(ended, source); !errors.Is(err, context.Canceled) {
		t.Errorf("index: %v", err)
	}
	advised := make(chan error, 1)
	go func() {
		_, err := store.IndexAdvice(t.Context(), source) // waits until the store is connected
		advised <- err
	}()
	dns.SetTXT("cluster.weft.test", "authSource=users")
	if err := store.Connect(t.Context(), srvURI); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close(context.Background()) }()
	if err := find7(t, store, source); err != nil {
		t.Error(err)
	}
	if err := <-advised; err != nil {
		t.Errorf("index: %v", err)
	}
}

// TestUnreachableDNSDoesNotDelay: ctx bounds how long Connect waits for DNS.
func TestUnreachableDNSDoesNotDelay(t *testing.T) {
	dns := testDNS(t)
	dns.SetSilent(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := New().Connect(ctx, srvURI); !errors.As(err, new(*net.DNSError)) {
		t.Error(err)
	}
}

// TestCheck: errors of a connection string are found without DNS.
func TestCheck(t *testing.T) {
	testDNS(t).SetDown(true)
	file := t.TempDir() + "/ca.pem"
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, uri := range []string{
		"", "localhost", "http://localhost", "mongodb://", "mongodb://h/?maxPoolSize=x",
		"mongodb+srv://", "mongodb+srv://a,b", "mongodb+srv://h.weft.test:27017",
		"mongodb+srv://u:p@h.weft.test:27017/db", "mongodb+srv://h/?maxPoolSize=x",
		"mongodb+srv://u:p:q@h.weft.test", "mongodb+srv://h.weft.test/?authMechanism=none",
		"mongodb+srv://h.weft.test/?tlsCAFile=" + file,
		"mongodb://h/?tlsCertificateKeyFile=/nowhere",
	} {
		if err := Check(uri); err == nil || errors.As(err, new(*net.DNSError)) {
			t.Errorf("%q: %v", uri, err)
		}
	}
	for _, uri := range []string{
		mongod.URI(), srvURI, "mongodb+srv://u:p%40ss@h.weft.test", "mongodb+srv://u:p@h.weft.test/db?authSource=admin",
		"mongodb+srv://h.weft.test/?srvServiceName=x&retryReads=false&srvMaxHosts=2",
	} {
		if err := Check(uri); err != nil {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

func TestFiles(t *testing.T) {
	for uri, want := range map[string][]string{
		"mongodb://h": nil,
		"mongodb://h/?tls=true&tlsCAFile=/run/ca.pem&tlsCertificateKeyFile=%2Frun%2Fa+b.pem": {"/run/ca.pem", "/run/a b.pem"},
		"mongodb://u:p@h/d?TLSCertificateFile=a;tlsPrivateKeyFile=b":                         {"a", "b"},
		"mongodb://h/?sslCertificateAuthorityFile=a&sslClientCertificateKeyFile=b":           {"a", "b"},
	} {
		if got := Files(uri); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", uri, got, want)
		}
	}
}

// TestAppName: the application name is visible in MongoDB's log and currentOp.
func TestAppName(t *testing.T) {
	for query, want := range map[string]string{"": "weft", "/?appName=shop": "shop"} {
		store, err := Open(mongod.URI() + query)
		if err != nil {
			t.Fatal(err)
		}
		_ = find7(t, store, storetest.Source())
		var operations []bson.M
		cursor, err := store.client.Database("admin").Aggregate(t.Context(), bson.A{
			bson.D{{Key: "$currentOp", Value: bson.D{{Key: "idleConnections", Value: true}}}},
			bson.D{{Key: "$match", Value: bson.D{{Key: "appName", Value: want}}}},
		})
		if err == nil {
			err = cursor.All(t.Context(), &operations)
		}
		if err != nil || len(operations) == 0 {
			t.Errorf("%q: no connection of %q: %v", query, want, err)
		}
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
}
