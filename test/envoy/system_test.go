package envoy_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
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
	"weft/enrich/corestore"
	"weft/enrich/mongostore"
	"weft/envoy"
	"weft/extproc"
	"weft/internal/rulesfile"
	"weft/test/harness"
)

// mongod is the server of all tests of this package. Each system has a database of its own in it.
var mongod *harness.Mongod

// scratch is a directory for the files of all tests of this package.
var scratch string

func TestMain(m *testing.M) {
	var err error
	scratch, err = os.MkdirTemp("", "weft-envoy")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mongod, err = harness.StartMongod(context.Background(), harness.MongodOptions{Dir: filepath.Join(scratch, "mongod")})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = mongod.Stop(10 * time.Second)
	_ = os.RemoveAll(scratch)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// system is a System with a scripted legacy service. weft runs in the process of the test, so that the race detector
// and the leak check see it.
type system struct {
	*harness.System
	t        testing.TB
	legacy   *legacy
	weft     *grpc.Server
	rules    []*enrich.Rule
	profiles *mongo.Collection // that the first source of the first rule reads

	bootstrap []byte // of Envoy
	weftAdmin string // host:port of the admin listener of a module

	mu            sync.Mutex
	misconfigured []string
}

// systemOptions are the differences to what "weft envoy" prints by default.
type systemOptions struct {
	mongodbURI string        // default: the mongod of the package
	timeout    time.Duration // route timeout; default 3 s
	message    time.Duration // message timeout; default so long that a busy machine does not matter
	rules      []*enrich.Rule
	module     *envoy.Module // nil for ext_proc
	filters    []*hcmv3.HttpFilter
	args       []string                     // of Envoy
	config     func(*envoy.Config)          // nil for none
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
	if o.rules == nil {
		o.rules = rulesfile.Builtin().Rules
	}
	if o.module == nil { // else the rules file sets it
		database := newDatabase()
		for _, r := range o.rules {
			for _, src := range r.Sources {
				src.Database = database
			}
		}
	}
	s := &system{System: harness.NewTestSystem(t, ""), t: t, legacy: startLegacy(t), rules: o.rules}
	if o.module == nil {
		s.startWeft(o.mongodbURI)
	}
	s.profiles = collection(t, o.rules[0].Sources[0])

	config := envoy.Config{
		Rules:          o.rules,
		Filters:        o.filters,
		Listen:         "127.0.0.1:0",
		Admin:          "127.0.0.1:0",
		Legacy:         s.legacy.addr,
		Weft:           s.Socket,
		Module:         o.module,
		RouteTimeout:   o.timeout,
		MessageTimeout: o.message,
	}
	if o.config != nil {
		o.config(&config)
	}
	bootstrap, err := envoy.Bootstrap(config)
	if err != nil {
		t.Fatal(err)
	}
	if o.change != nil {
		o.change(bootstrap)
	}
	if s.bootstrap, err = envoy.YAML(bootstrap); err != nil {
		t.Fatal(err)
	}
	if err := s.StartEnvoyWith(t.Context(), s.bootstrap, o.args...); err != nil {
		t.Fatal(err)
	}
	return s
}

// newDatabase returns the name of a database that no other system has.
func newDatabase() string { return fmt.Sprintf("test_%d", time.Now().UnixNano()) }

func (s *system) startWeft(mongodbURI string) {
	s.t.Helper()
	store, err := mongostore.Open(mongodbURI)
	if err != nil {
		s.t.Fatal(err)
	}
	listener, err := extproc.Listen(s.Socket)
	if err != nil {
		s.t.Fatal(err)
	}
	cores := corestore.NewMemory(8 << 20)
	ruleset := extproc.NewRuleset(s.rules, envoy.Fingerprint(s.rules))
	processor := &extproc.Server{
		Rules:        func() *extproc.Ruleset { return ruleset },
		Store:        enrich.Limit(enrich.Batch(store), 1024),
		Cores:        enrich.NewCores(cores, nil, nil),
		ServerTiming: true,
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
	server := s.weft
	go func() { _ = server.Serve(listener) }()
	s.t.Cleanup(func() {
		server.Stop()
		cores.Close()
		now, cancel := context.WithCancel(context.Background())
		cancel()
		_ = store.Close(now)
	})
}

// parseRules parses a rules file. startSystem sets the databases of the rules.
func parseRules(t testing.TB, text string) []*enrich.Rule {
	t.Helper()
	f, err := rulesfile.Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f.Rules
}

// collection returns the collection that a source reads. It is dropped with the test.
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

// protocol is the one between a client and Envoy.
type protocol bool

const (
	http1 protocol = false
	http2 protocol = true
)

func (p protocol) String() string { return map[protocol]string{http1: "HTTP 1", http2: "HTTP 2"}[p] }

// newRequest returns a request without a body. The headers are name, value, name, value.
func (s *system) newRequest(t testing.TB, method, target string, headers ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.URL+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// try sends a request over a connection of its own.
func try(p protocol, req *http.Request) (harness.Answer, error) {
	client := harness.NewClient(p == http2)
	defer client.CloseIdleConnections()
	return harness.Do(client, req)
}

// do is try where an error ends the test.
func do(t testing.TB, p protocol, req *http.Request) harness.Answer {
	t.Helper()
	got, err := try(p, req)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// get sends a GET request over HTTP/1.1.
func (s *system) get(t testing.TB, target string, headers ...string) harness.Answer {
	t.Helper()
	return do(t, http1, s.newRequest(t, http.MethodGet, target, headers...))
}

// stat returns the value of one of Envoy's statistics.
func (s *system) stat(t testing.TB, name string) int {
	t.Helper()
	n, err := s.Envoy.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// checkModuleIdle waits until no stream remains in an Envoy with a module, and checks that nothing has panicked.
func (s *system) checkModuleIdle(t testing.TB) {
	t.Helper()
	harness.Eventually(t, "no stream remains", func() bool {
		return s.stat(t, "http.main.downstream_rq_active") == 0 && s.stat(t, "cluster.legacy.upstream_rq_active") == 0 &&
			strings.Contains(s.metrics(t), "weft_exchanges_open 0\n")
	})
	if metrics := s.metrics(t); !strings.Contains(metrics, "weft_panics_total 0\n") {
		t.Errorf("a panic in the metrics:\n%s", metrics)
	}
}

// metrics returns weft's metrics.
func (s *system) metrics(t testing.TB) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // it may be called after the test
	answer, err := harness.Get(ctx, "http://"+s.weftAdmin+"/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return answer.Body
}

// changeManager returns a change of the connection manager.
func changeManager(t testing.TB, change func(*hcmv3.HttpConnectionManager)) func(*bootstrapv3.Bootstrap) {
	return func(b *bootstrapv3.Bootstrap) {
		filter := b.GetStaticResources().GetListeners()[0].GetFilterChains()[0].GetFilters()[0]
		var manager hcmv3.HttpConnectionManager
		if err := filter.GetTypedConfig().UnmarshalTo(&manager); err != nil {
			t.Fatal(err)
		}
		change(&manager)
		filter.GetTypedConfig().Value = packed(t, &manager).GetValue()
	}
}
