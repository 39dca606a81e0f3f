package cli

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
	"weft/enrich/mongostore"
	"weft/internal/observe"
	"weft/test/harness"
	"weft/test/storetest"
)

// connecting is a server that only connects to MongoDB.
type connecting struct {
	*server
	t   *testing.T
	log chan string // lines of its log
}

func newConnecting(t *testing.T, uri, file string) *connecting {
	c := &connecting{t: t, log: make(chan string, 100)}
	logger := slog.New(slog.NewTextHandler(writerFunc(func(line []byte) { c.log <- string(line) }), nil))
	c.server = &server{
		mongodbURI: uri, mongodbURIFile: file, logger: logger,
		metrics: observe.NewMetrics(prometheus.NewRegistry(), ""), health: observe.NewHealth(logger),
	}
	t.Cleanup(func() {
		if c.store != nil {
			_ = c.store.Close(context.Background())
		}
	})
	return c
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

var _ io.Writer = writerFunc(nil)

// expectLog waits for the next log line and returns it. The test fails if the line does not contain want.
func (c *connecting) expectLog(want string) string {
	c.t.Helper()
	line := <-c.log
	if !strings.Contains(line, want) {
		c.t.Fatalf("%s, want %s", line, want)
	}
	return line
}

// read reads a document and returns the error.
func (c *connecting) read() error {
	key := enrich.Key{{Type: enrich.Int64, Int: 7}}
	return c.store.Find(c.t.Context(), storetest.Source(), []enrich.Key{key})[0].Err
}

// expectReads checks that reads succeed.
func (c *connecting) expectReads() {
	c.t.Helper()
	if err := c.read(); !errors.Is(err, enrich.ErrNotFound) {
		c.t.Error(err)
	}
}

// replace replaces a file.
func replace(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func startMongod(t *testing.T) *harness.Mongod {
	t.Helper()
	mongod, err := harness.StartMongod(t.Context(), harness.MongodOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mongod.Kill() })
	return mongod
}

// TestStartWithoutDNS: weft starts while DNS does not resolve its connection string, and connects when it does.
func TestStartWithoutDNS(t *testing.T) {
	mongod := startMongod(t)
	u, err := url.Parse(mongod.URI())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	dns := harness.NewDNS("cluster.weft.test", "db.weft.test", port)
	defer dns.Use()()
	dns.SetDown(true)
	c := newConnecting(t, "mongodb+srv://cluster.weft.test/?tls=false", "")
	if err := c.connectMongoDB(t.Context()); err != nil {
		t.Fatal(err)
	}
	if line := c.expectLog(hostsUnresolved); !strings.Contains(line, `error="--mongodb-uri: lookup cluster.weft.test`) {
		t.Error(line)
	}
	if err := c.read(); !mongostore.IsUnavailable(err) {
		t.Error(err)
	}
	if !c.health.Failing() {
		t.Error("health does not report that MongoDB is unavailable")
	}
	dns.SetDown(false)
	c.expectLog(hostsResolved)
	c.expectReads()
	if c.health.Failing() {
		t.Error("health still reports that MongoDB is unavailable")
	}
}

// TestInvalidURIWithoutDNS: an invalid connection string is an error at start, with or without DNS.
func TestInvalidURIWithoutDNS(t *testing.T) {
	dns := harness.NewDNS("cluster.weft.test", "db.weft.test", 1)
	defer dns.Use()()
	for _, isDown := range []bool{true, false} {
		dns.SetDown(isDown)
		for uri, want := range map[string]string{
			"mongodb+srv://cluster.weft.test/?maxPoolSize=x":            `invalid value for "maxPoolSize": "x"`,
			"mongodb+srv://cluster.weft.test:27017":                     "has one host, without a port",
			"mongodb+srv://u:p@h.weft.test/?tlsCAFile=/nowhere":         "open /nowhere: no such file or directory",
			"mongodb+srv://u:hidden:p@cluster.weft.test/?maxPoolSize=1": "details are not shown",
		} {
			err := newConnecting(t, uri, "").connectMongoDB(t.Context())
			if err == nil {
				t.Errorf("%s: no error", uri)
			} else if got := err.Error(); !strings.HasPrefix(got, "--mongodb-uri: ") || !strings.Contains(got, want) {
				t.Errorf("%s: %v, want %s", uri, err, want)
			}
		}
	}
}

// TestConnectionStringRotates: weft uses a new connection string in the file as soon as MongoDB accepts it.
func TestConnectionStringRotates(t *testing.T) {
	mongod := startMongod(t)
	run := func(command bson.D) {
		t.Helper()
		if _, err := mongod.Run(t.Context(), "admin", command); err != nil {
			t.Fatal(err)
		}
	}
	setPassword := func(password string) {
		t.Helper()
		run(bson.D{{Key: "updateUser", Value: "weft"}, {Key: "pwd", Value: password}})
	}
	run(bson.D{
		{Key: "createUser", Value: "weft"},
		{Key: "pwd", Value: "first"},
		{Key: "roles", Value: bson.A{"readAnyDatabase"}},
	})
	file := filepath.Join(t.TempDir(), "uri")
	uri := func(password string) string {
		return strings.Replace(mongod.URI(), "mongodb://", "mongodb://weft:"+password+"@", 1)
	}
	replace(t, file, uri("first"))
	c := newConnecting(t, uri("first"), file)
	if err := c.connectMongoDB(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.expectReads()

	for text, want := range map[string]string{
		"":                    "is empty",
		"mongodb://u:a:b@c":   "details are not shown",
		"mongodb://h/?tls=no": "invalid value",
	} {
		replace(t, file, text)
		if line := c.expectLog(connectionInvalid); !strings.Contains(line, want) {
			t.Errorf("%s: %s", text, line)
		}
		c.expectReads()
	}

	setPassword("second")
	replace(t, file, uri("second")+"\n")
	c.expectLog(connectionUpdated)
	c.expectReads()

	replace(t, file, uri("third"))
	c.expectLog(connectionFailed)
	c.expectReads()
	setPassword("third")
	c.expectLog(connectionUpdated) // by a later attempt; failed attempts in between log nothing
	c.expectReads()

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.expectLog(connectionInvalid)
	c.expectReads()
}

// TestCertificatesOfConnectionString: weft reconnects when a file that the connection string names changes.
func TestCertificatesOfConnectionString(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	replace(t, ca, string(certificate))
	c := newConnecting(t, startMongod(t).URI()+"/?serverSelectionTimeoutMS=10&tlsCAFile="+ca, "")
	if err := c.connectMongoDB(t.Context()); err != nil {
		t.Fatal(err)
	}
	replace(t, ca, "bad")
	line := c.expectLog(connectionInvalid)
	if !strings.Contains(line, "the specified CA file does not contain any valid certificates") {
		t.Error(line)
	}
	replace(t, ca, string(certificate)+"\n")
	c.expectLog(connectionFailed) // this mongod has no TLS
}
