package operations_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/test/harness"
)

// malformed is the first of some users whose documents have a field of a wrong type.
const malformed = 1000

// outage is a world whose parts can be taken away while a real Prometheus looks at weft and at Envoy.
type outage struct {
	*world
	prometheus *prometheus
	board      *board
	alerts     []alert
	targets    []*target

	answer atomic.Pointer[http.HandlerFunc] // of the legacy service
	first  atomic.Int64                     // of the users that clients ask for
	weft   *server
	admin  string // weft's
	start  func() *server
	rules  string // file
}

func startOutage(t *testing.T) *outage {
	w := startWorld(t)
	o := &outage{world: w, board: readBoard(t), alerts: readAlerts(t)}
	o.targets = o.board.targets()
	o.legacyAnswers(nil)
	o.listen(t, "127.0.0.1:0")
	client, err := mongo.Connect(options.Client().ApplyURI(w.mongod.URI()))
	if err != nil {
		t.Fatal(err)
	}
	var documents []any
	for id := range users {
		documents = append(documents, bson.D{{Key: "userId", Value: malformed + id}, {Key: "tags", Value: "none"}})
	}
	if _, err := client.Database("user_profiles").Collection("profiles").InsertMany(t.Context(), documents); err != nil {
		t.Fatal(err)
	}
	_ = client.Disconnect(context.Background())

	dir := t.TempDir()
	ca, later := newAuthority(t, "ca"), time.Now().Add(time.Hour)
	ca.leaf(dir, "weft", weftID, later)
	ca.leaf(dir, "envoy", envoyID, later)
	publish(t, dir, map[string][]byte{"ca.crt": ca.pem})
	serve, envoy := tlsFlags(dir, freePort(t))
	o.rules = filepath.Join(dir, "rules.yaml")
	o.publishRules(t, "version: 1", "version: 1")
	o.admin = freePort(t)
	o.start = func() *server {
		args := append([]string{"serve", "--drain-window", "0"}, serve...)
		return startServerWith(t, []string{"GOMEMLIMIT=1GiB"}, append(args, "--rules", o.rules, "--mongodb-uri", w.mongod.URI()+"/?maxPoolSize=4", "--max-waiting-reads", "40", "--admin", o.admin)...)
	}
	o.weft = o.start()
	w.startEnvoy(t, append(envoy, "--rules", o.rules, "--message-timeout", "500ms", "--route-timeout", "2s")...)
	o.prometheus = startPrometheus(t, map[string]string{"weft": o.admin + "/metrics", "envoy": strings.TrimPrefix(w.envoy.Admin(), "http://") + "/stats/prometheus"})
	o.load(t, 4)
	return o
}

// listen starts the legacy service.
func (o *outage) listen(t *testing.T, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	o.legacy = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { (*o.answer.Load())(rw, r) }))
	_ = o.legacy.Listener.Close()
	o.legacy.Listener = listener
	o.legacy.Start()
	t.Cleanup(o.legacy.Close)
}

// legacyAnswers has the legacy service do something else than answer with the user; nil has it do that again.
func (o *outage) legacyAnswers(h http.HandlerFunc) {
	if h == nil {
		h = func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(rw, core(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]))
		}
	}
	o.answer.Store(&h)
}

// publishRules writes the rules of the user profile, with something replaced.
func (o *outage) publishRules(t *testing.T, old, by string) {
	t.Helper()
	text, err := os.ReadFile("../../examples/user-profile/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	publish(t, filepath.Dir(o.rules), map[string][]byte{"rules.yaml": []byte(strings.Replace(string(text), old, by, 1))})
}

// load has clients who keep asking, whatever they get, until the returned function is called.
func (o *outage) load(t *testing.T, clients int) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{}, clients)
	for i := range clients {
		go func() {
			defer func() { over <- struct{}{} }()
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			pace := time.NewTicker(5 * time.Millisecond)
			defer pace.Stop()
			for id := i; ctx.Err() == nil; id += 7 {
				_, _, _, _ = o.ask(client, int(o.first.Load())+id%users)
				select {
				case <-pace.C:
				case <-ctx.Done():
				}
			}
		}()
	}
	stop := func() {
		cancel()
		for range cap(over) {
			<-over
		}
	}
	t.Cleanup(cancel)
	return stop
}

// look evaluates all of the dashboard.
func (o *outage) look(t *testing.T) {
	t.Helper()
	for _, target := range o.targets {
		if values := o.prometheus.values(t, target.expr); len(values) > 0 {
			target.answered = true
			target.most = max(target.most, slices.Max(values))
		}
	}
}

// expect waits until the dashboard's first row and the alerts say so, and looks at all the rest meanwhile. On a busy machine weft
// may be slow at any time.
func (o *outage) expect(t *testing.T, situation, red, alerts, may string) {
	t.Helper()
	var gotRed, gotAlerts string
	defer func() {
		if t.Failed() {
			t.Logf("%s: red %q, alerts %q; want %q, %q", situation, gotRed, gotAlerts, red, alerts)
		}
	}()
	allowed := append(strings.Fields(may), "WeftSlow")
	eventually(t, situation, func() bool {
		o.look(t)
		firing := slices.DeleteFunc(o.prometheus.firing(t, o.alerts), func(a string) bool { return slices.Contains(allowed, a) })
		gotRed, gotAlerts = strings.Join(o.prometheus.verdict(t, o.board), ", "), strings.Join(firing, " ")
		return gotRed == red && gotAlerts == alerts
	})
	t.Logf("%s: red %q, alerts %q", situation, gotRed, gotAlerts)
}

// TestDashboardAnswers breaks the legacy service, MongoDB, weft and its configuration, one after the other, under load. A real
// Prometheus scrapes weft and Envoy; the first row of the dashboard says which of the three it is, the alerts that are made for
// it fire and no others, and in the end every query of every panel has had something to show.
func TestDashboardAnswers(t *testing.T) {
	o := startOutage(t)
	signal := func(p interface{ Signal(os.Signal) error }, s os.Signal) {
		t.Helper()
		if err := p.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	address := o.legacy.Listener.Addr().String()
	var endCrowd func()
	situations := []struct {
		name       string
		begin, end func()
		red        string // the panels that are red
		alerts     string
		may        string // alerts that may fire, too, as busy as the machine is
	}{
		{
			name:  "the legacy service answers 500",
			begin: func() { o.legacyAnswers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) }) },
			end:   func() { o.legacyAnswers(nil) },
			red:   "The legacy service", alerts: "WeftLegacyFailing",
		},
		{
			name: "it hangs up",
			begin: func() {
				o.legacyAnswers(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
			},
			end: func() { o.legacyAnswers(nil) },
			red: "The legacy service", alerts: "WeftLegacyFailing",
		},
		{
			name: "it breaks off inside its body",
			begin: func() {
				o.legacyAnswers(func(rw http.ResponseWriter, _ *http.Request) {
					rw.Header().Set("Content-Length", "100")
					_, _ = io.WriteString(rw, `{"userId":`)
					_ = http.NewResponseController(rw).Flush()
					panic(http.ErrAbortHandler)
				})
			},
			end: func() { o.legacyAnswers(nil) },
			red: "The legacy service", alerts: "WeftExchangesCutOff",
		},
		{
			name:  "it is not there",
			begin: func() { o.legacy.Close() },
			end:   func() { o.listen(t, address) },
			red:   "The legacy service", alerts: "WeftLegacyFailing",
		},
		{
			name:  "it is slower than the route's timeout",
			begin: func() { o.legacyAnswers(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }) },
			end:   func() { o.legacyAnswers(nil) },
			red:   "The legacy service", alerts: "WeftLegacyFailing",
		},
		{
			name: "it answers with pages",
			begin: func() {
				o.legacyAnswers(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "<html>") })
			},
			end: func() { o.legacyAnswers(nil) },
			red: "The legacy service", alerts: "WeftCoreInvalid",
		},
		{
			name: "one answer is somebody else's",
			begin: func() {
				var once atomic.Bool
				o.legacyAnswers(func(rw http.ResponseWriter, r *http.Request) {
					id := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
					if once.CompareAndSwap(false, true) {
						id = "424242"
					}
					_, _ = io.WriteString(rw, core(id))
				})
			},
			end:    func() { o.legacyAnswers(nil) },
			alerts: "WeftKeyMismatch",
		},
		{
			name:  "MongoDB is frozen",
			begin: func() { signal(o.mongod, syscall.SIGSTOP) },
			end:   func() { signal(o.mongod, syscall.SIGCONT) },
			red:   "MongoDB", alerts: "WeftMongoDBFailing WeftMongoDBSlow", may: "WeftMongoDBPoolExhausted WeftMongoDBUnreachable",
		},
		{
			name: "MongoDB is frozen, and there is a crowd",
			begin: func() {
				endCrowd = o.load(t, 100)
				signal(o.mongod, syscall.SIGSTOP)
			},
			end: func() { signal(o.mongod, syscall.SIGCONT); endCrowd() },
			red: "MongoDB", alerts: "WeftMongoDBFailing WeftMongoDBPoolExhausted WeftOverloaded", may: "WeftMongoDBSlow WeftMongoDBUnreachable",
		},
		{
			name:  "MongoDB is killed",
			begin: func() { signal(o.mongod, syscall.SIGKILL) },
			end: func() {
				<-o.mongod.Done()
				mongod, err := harness.StartMongod(t.Context(), o.mongod.Options())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = mongod.Kill() })
				o.mongod = mongod
			},
			red: "MongoDB", alerts: "WeftMongoDBFailing WeftMongoDBUnreachable", may: "WeftMongoDBSlow",
		},
		{
			name:  "documents are malformed",
			begin: func() { o.first.Store(malformed) },
			end:   func() { o.first.Store(0) },
			red:   "MongoDB", alerts: "WeftDocumentsInvalid",
		},
		{
			name: "both fail",
			begin: func() {
				o.first.Store(malformed)
				o.legacyAnswers(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) })
			},
			end: func() { o.first.Store(0); o.legacyAnswers(nil) },
			red: "The legacy service, MongoDB", alerts: "WeftDocumentsInvalid WeftLegacyFailing",
		},
		{
			name:   "new rules, and the old configuration of Envoy",
			begin:  func() { o.publishRules(t, "path: /api/v3/", "path: /api/v4/") },
			end:    func() { o.publishRules(t, "version: 1", "version: 1") },
			alerts: "WeftEnvoyMisconfigured",
		},
		{
			name:   "the rules file has a mistake",
			begin:  func() { o.publishRules(t, "version: 1", "version: one") },
			end:    func() { o.publishRules(t, "version: 1", "version: 1") },
			alerts: "WeftRulesRefused",
		},
		{
			name:  "weft is frozen",
			begin: func() { signal(o.weft.cmd.Process, syscall.SIGSTOP) },
			end:   func() { signal(o.weft.cmd.Process, syscall.SIGCONT) },
			red:   "weft", alerts: "WeftAbsent WeftDown WeftUnreachable", may: "WeftExchangesCutOff",
		},
		{
			name:  "weft is killed",
			begin: func() { signal(o.weft.cmd.Process, syscall.SIGKILL) },
			end:   func() { _ = o.weft.cmd.Wait(); o.weft = o.start() },
			red:   "weft", alerts: "WeftAbsent WeftDown WeftUnreachable", may: "WeftExchangesCutOff",
		},
	}
	o.expect(t, "all is well", "", "", "")
	for _, s := range situations {
		s.begin()
		o.expect(t, s.name, s.red, s.alerts, s.may)
		s.end()
		o.expect(t, "after "+s.name+", all is well again", "", "", "")
	}
	for _, target := range o.targets {
		if !target.answered {
			t.Errorf("%s has never had data: %s", target.name, target.expr)
		} else if target.most == 0 && !strings.HasSuffix(target.name, ": no healthy host") { // this cluster always has its host
			t.Errorf("%s has never been more than 0: %s", target.name, target.expr)
		}
	}
	_, metrics, _ := strings.Cut(page(t, o.admin+"/metrics"), " ")
	checkMetrics(t, metrics) // those of TLS are among them
	offered := o.prometheus.variables(t, o.board)
	if got, want := fmt.Sprint(offered["job"], offered["rule"], offered["legacy"]), "[weft] [composite-profile user] [legacy weft]"; got != want || len(offered["instance"]) != 1 {
		t.Errorf("the variables offer %v, want %s", offered, want)
	}
}
