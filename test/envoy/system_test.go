package envoy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"weft/enrich"
	"weft/enrich/mongostore"
	"weft/envoy"
	"weft/extproc"
	"weft/internal/rulesfile"
	"weft/test/harness"
)

// mongod is the one server of all tests of this package; each system has a database of its own in it.
var mongod *harness.Mongod

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weft-mongod")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mongod, err = harness.StartMongod(context.Background(), harness.MongodOptions{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = mongod.Stop(10 * time.Second)
	_ = os.RemoveAll(dir)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// system is all of it: a client in front of a real Envoy, weft, a scripted legacy service, and a real mongod. weft runs
// in the process of the test, so that the race detector and the leak check see it.
type system struct {
	t        testing.TB
	legacy   *legacy
	weft     *grpc.Server
	envoy    *harness.Envoy
	url      string // of Envoy's listener, without a slash at the end
	socket   string // path of weft's
	rules    []*enrich.Rule
	profiles *mongo.Collection

	mu            sync.Mutex
	reports       []enrich.Report
	misconfigured []string
}

// systemOptions differ from what make run has only where a test needs it.
type systemOptions struct {
	mongodbURI string        // default: the mongod of the package
	timeout    time.Duration // route timeout; default 3 s
	message    time.Duration // message timeout; default so long that a busy machine does not matter
	rules      []*enrich.Rule
	filters    []*hcmv3.HttpFilter
	change     func(*bootstrapv3.Bootstrap) // nil for none
}

func startSystem(t testing.TB, o systemOptions) *system {
	t.Helper()
	if o.mongodbURI == "" {
		o.mongodbURI = mongod.URI()
	}
	if o.message == 0 {
		o.message = 20 * time.Second
	}
	s := &system{t: t, legacy: startLegacy(t)}
	dir := t.TempDir()
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "envoy.log"))
			t.Logf("Envoy's log:\n%s", log)
		}
	})
	s.socket = filepath.Join(dir, "w") // the path of a socket has 108 bytes at most
	socket := "unix:" + s.socket

	rules := o.rules
	if rules == nil {
		rules = rulesfile.Builtin().Rules
	}
	database := fmt.Sprintf("test_%d", time.Now().UnixNano())
	for _, r := range rules {
		r.Sources[0].Database = database
	}
	s.rules = rules
	s.startWeft(socket, rules, o.mongodbURI)
	s.profiles = collection(t, rules[0].Sources[0])

	bootstrap, err := envoy.Bootstrap(envoy.Config{
		Rules:          rules,
		Filters:        o.filters,
		Listen:         "127.0.0.1:0",
		Admin:          "127.0.0.1:0",
		Legacy:         s.legacy.addr,
		Weft:           socket,
		RouteTimeout:   o.timeout,
		MessageTimeout: o.message,
	})
	if err != nil {
		t.Fatal(err)
	}
	if o.change != nil {
		o.change(bootstrap)
	}
	text, err := envoy.YAML(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	s.envoy, err = harness.StartEnvoy(t.Context(), harness.EnvoyOptions{Dir: dir, Bootstrap: text})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.envoy.Kill() })
	addr, err := s.envoy.ListenerAddr(t.Context(), envoy.ListenerName)
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + addr
	return s
}

func (s *system) startWeft(socket string, rules []*enrich.Rule, mongodbURI string) {
	store, err := mongostore.Open(mongodbURI)
	if err != nil {
		s.t.Fatal(err)
	}
	listener, err := extproc.Listen(socket)
	if err != nil {
		s.t.Fatal(err)
	}
	ruleset := extproc.NewRuleset(rules, envoy.Fingerprint(rules))
	processor := &extproc.Server{
		Rules:        func() *extproc.Ruleset { return ruleset },
		Store:        enrich.Limit(enrich.Batch(store), 1024),
		ServerTiming: true,
		Report:       s.report,
		Misconfigured: func(what string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.misconfigured = append(s.misconfigured, what)
		},
	}
	s.weft = grpc.NewServer(grpc.MaxRecvMsgSize(extproc.MaxMessage), grpc.UnaryInterceptor(processor.CheckEnvoyConfig))
	processor.Register(s.weft)
	health := grpchealth.NewServer()
	health.SetServingStatus(extprocv3.ExternalProcessor_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(s.weft, health)
	go func() { _ = s.weft.Serve(listener) }()
	s.t.Cleanup(func() {
		s.weft.Stop()
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = store.Close(now)
	})
}

// collection returns the collection that a source reads, for the test to write to. It is dropped with the test.
func collection(t testing.TB, src *enrich.Source) *mongo.Collection {
	client, err := mongo.Connect(options.Client().ApplyURI(mongod.URI()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = client.Database(src.Database).Drop(context.Background())
		_ = client.Disconnect(context.Background())
	})
	return client.Database(src.Database).Collection(src.Collection)
}

func (s *system) report(r *enrich.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, *r)
}

// setProfiles replaces all documents.
func (s *system) setProfiles(docs ...bson.Raw) {
	s.t.Helper()
	if _, err := s.profiles.DeleteMany(s.t.Context(), bson.D{}); err != nil {
		s.t.Fatal(err)
	}
	for _, doc := range docs {
		if _, err := s.profiles.InsertOne(s.t.Context(), doc); err != nil {
			s.t.Fatal(err)
		}
	}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request as it stands, over HTTP/1.1, and reads the answer whole.
func (s *system) do(t testing.TB, req *http.Request) answer {
	t.Helper()
	return s.doWith(t, http1(), req)
}

func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// http2 is HTTP/2 without TLS, and without an upgrade from HTTP/1.1 (RFC 9113, section 3.3).
func http2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// doWith is do over another protocol.
func (s *system) doWith(t testing.TB, protocols *http.Protocols, req *http.Request) answer {
	t.Helper()
	got, err := s.try(protocols, req)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// try is doWith for a test that expects errors, or must not end at once.
func (s *system) try(protocols *http.Protocols, req *http.Request) (answer, error) {
	transport := &http.Transport{DisableCompression: true, Protocols: protocols}
	defer transport.CloseIdleConnections()
	client := http.Client{
		Transport: transport,
		Timeout:   20 * time.Second, // an answer that does not come is a failure, not the end of all tests
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("the answer breaks off after %q: %w", body, err)
	}
	if resp.ContentLength >= 0 {
		resp.Header.Set("Content-Length", fmt.Sprint(resp.ContentLength))
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body)}, nil
}

// get is do for a plain GET.
func (s *system) get(t testing.TB, path string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	return s.do(t, req)
}
