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
	"weft/enrich/storetest"
	"weft/internal/observe"
	"weft/test/harness"
)

// connecting is a server that is connected to MongoDB, and no more.
type connecting struct {
	*server
	t   *testing.T
	log chan string // its lines
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

// expectLog waits for the next line of the log.
func (c *connecting) expectLog(want string) string {
	c.t.Helper()
	line := <-c.log
	if !strings.Contains(line, want) {
		c.t.Fatalf("%s, want %s", line, want)
	}
	return line
}

// expectReads expects that MongoDB is read.
func (c *connecting) expectReads() {
	c.t.Helper()
	key := enrich.Key{{Type: enrich.Int64, Int: 7}}
	if err := c.store.Find(c.t.Context(), storetest.Source(), []enrich.Key{key})[0].Err; !errors.Is(err, enrich.ErrNotFound) {
		c.t.Error(err)
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

// TestStartWithoutDNS: weft starts while the hosts of its connection string cannot be looked up, and reads when they can.
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
	c.expectLog(`msg="the hosts of MongoDB cannot be looked up; until they can, extensions are null" error="--mongodb-uri: lookup cluster.weft.test`)
	key := enrich.Key{{Type: enrich.Int64, Int: 7}}
	if err := c.store.Find(t.Context(), storetest.Source(), []enrich.Key{key})[0].Err; !mongostore.IsUnavailable(err) {
		t.Error(err)
	}
	if !c.health.Failing() {
		t.Error("nobody sees that MongoDB is away")
	}
	dns.SetDown(false)
	c.expectLog(`msg="the hosts of MongoDB are known"`)
	c.expectReads()
	if c.health.Failing() {
		t.Error("MongoDB is still said to be away")
	}
}

// TestWrongURIWithoutDNS: what is wrong with a connection string in itself ends weft, whether there is DNS or not.
func TestWrongURIWithoutDNS(t *testing.T) {
	dns := harness.NewDNS("cluster.weft.test", "db.weft.test", 1)
	defer dns.Use()()
	for _, isDown := range []bool{true, false} {
		dns.SetDown(isDown)
		for uri, want := range map[string]string{
			"mongodb+srv://cluster.weft.test/?maxPoolSize=x":            `invalid value for "maxPoolSize": "x"`,
			"mongodb+srv://cluster.weft.test:27017":                     "has one host, without a port",
			"mongodb+srv://u:p@h.weft.test/?tlsCAFile=/nowhere":         "open /nowhere: no such file or directory",
			"mongodb+srv://u:hidden:p@cluster.weft.test/?maxPoolSize=1": "is not shown",
		} {
			err := newConnecting(t, uri, "").connectMongoDB(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), "--mongodb-uri: ") || !strings.Contains(err.Error(), want) ||
				strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s: %v, want %s", uri, err, want)
			}
		}
	}
}

// TestConnectionStringRotates: a file with another connection string is used when MongoDB accepts it, without a restart.
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
	write := func(text string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(file+".new", []byte(text), 0o600), os.Rename(file+".new", file)); err != nil {
			t.Fatal(err)
		}
	}
	uri := func(password string) string {
		return strings.Replace(mongod.URI(), "mongodb://", "mongodb://weft:"+password+"@", 1)
	}
	write(uri("first"))
	c := newConnecting(t, uri("first"), file)
	if err := c.connectMongoDB(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.expectReads()

	const rejected = `msg="MongoDB's connection string or certificates are rejected; those from before stay in use" error="`
	for text, want := range map[string]string{
		"":                    "is empty",
		"mongodb://u:a:b@c":   "is not shown",
		"mongodb://h/?tls=no": "invalid value",
	} {
		write(text)
		if line := c.expectLog(rejected); !strings.Contains(line, want) {
			t.Errorf("%s: %s", text, line)
		}
		c.expectReads()
	}

	const accepted = `msg="a new connection string or new certificates are in use for MongoDB"`
	setPassword("second")
	write(uri("second") + "\n")
	c.expectLog(accepted)
	c.expectReads()

	write(uri("third"))
	c.expectLog(`msg="MongoDB does not accept a connection with the new connection string or certificates; those from before stay in use"`)
	c.expectReads()
	setPassword("third")
	c.expectLog(accepted) // by a later attempt, and no line for those that failed before
	c.expectReads()

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.expectLog(rejected)
	c.expectReads()
}

// TestCertificatesOfConnectionString: the files that a connection string names are read again when they change.
func TestCertificatesOfConnectionString(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	write := func(text []byte) {
		t.Helper()
		if err := errors.Join(os.WriteFile(ca+".new", text, 0o600), os.Rename(ca+".new", ca)); err != nil {
			t.Fatal(err)
		}
	}
	write(certificate)
	c := newConnecting(t, startMongod(t).URI()+"/?serverSelectionTimeoutMS=10&tlsCAFile="+ca, "")
	if err := c.connectMongoDB(t.Context()); err != nil {
		t.Fatal(err)
	}
	write([]byte("bad"))
	if line := c.expectLog("are rejected"); !strings.Contains(line, "the specified CA file does not contain any valid certificates") {
		t.Error(line)
	}
	write(append(certificate, '\n'))
	c.expectLog("MongoDB does not accept a connection") // this mongod has no TLS
}
