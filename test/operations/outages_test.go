package operations_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/test/harness"
)

// malformed is the first ID of users whose documents have a field of another type.
const malformed = 1000

// outages is a System under load whose parts fail in turn, while a Prometheus scrapes weft and Envoy.
type outages struct {
	*harness.System
	prometheus *prometheusServer
	board      *board
	alerts     []alert
	targets    []*target

	sent      atomic.Int64 // requests
	first     atomic.Int64 // first ID of the users that clients request
	weft      *harness.Process
	startWeft func()
	admin     string // weft's
	rules     string // file
}

func startOutages(t *testing.T) *outages {
	o := &outages{System: startSystem(t), board: readBoard(t), alerts: readAlerts(t), admin: freeAddr(t)}
	isForCaches := func(t *target) bool { return strings.HasPrefix(t.name, "Caches: ") } // see TestDashboardShowsCaches
	o.targets = slices.DeleteFunc(o.board.targets(), isForCaches)
	var documents []any
	for id := range harness.Users {
		documents = append(documents, bson.D{{Key: "userId", Value: malformed + id}, {Key: "tags", Value: "none"}})
	}
	if err := o.Mongod.Insert(t.Context(), harness.Namespace, documents...); err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	ca, later := newAuthority(t, "ca"), time.Now().Add(time.Hour)
	ca.leaf(dir, "weft", weftID, later)
	ca.leaf(dir, "envoy", envoyID, later)
	publish(t, dir, map[string][]byte{"ca.crt": ca.pem})
	serve, envoy := tlsFlags(dir, freeAddr(t))
	o.rules = filepath.Join(dir, "rules.yaml")
	o.publishRules(t, "version: 1", "version: 1")
	args := append(append([]string{"serve", "--drain-window", "0"}, serve...),
		"--rules", o.rules, "--admin", o.admin,
		"--mongodb-uri", o.Mongod.URI()+"/?maxPoolSize=4", "--max-waiting-reads", "40")
	o.startWeft = func() {
		t.Helper()
		o.weft = startCommand(t, o.System, harness.Command{Args: args, Env: []string{"GOMEMLIMIT=1GiB"}})
	}
	o.startWeft()
	startEnvoy(t, o.System, append(envoy, "--rules", o.rules, "--message-timeout", "1s", "--route-timeout", "2s")...)
	o.prometheus = startPrometheus(t, map[string]string{
		"weft": o.admin + "/metrics", "envoy": strings.TrimPrefix(o.Envoy.Admin(), "http://") + "/stats/prometheus",
	})
	o.startLoad(t, 4)
	return o
}

// publishRules writes the rules of the user profile after replacing a text.
func (o *outages) publishRules(t *testing.T, old, by string) {
	t.Helper()
	text, err := os.ReadFile("../../examples/user-profile/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), old, by, 1)
	publish(t, filepath.Dir(o.rules), map[string][]byte{"rules.yaml": []byte(changed)})
}

// startLoad starts clients that ignore the responses. Each sends at most 200 requests per second.
func (o *outages) startLoad(t *testing.T, clients int) *harness.Load {
	ctx := t.Context()
	load := harness.StartLoad(clients, func(client *http.Client, _ int) bool {
		pause := time.NewTimer(5 * time.Millisecond)
		defer pause.Stop()
		_, _ = getUser(client, o.System, int(o.first.Load())+int(o.sent.Add(1))%harness.Users)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		return ctx.Err() == nil
	})
	t.Cleanup(load.Stop)
	return load
}

// evaluate evaluates all queries of the dashboard.
func (o *outages) evaluate(t *testing.T) {
	t.Helper()
	for _, target := range o.targets {
		if values := o.prometheus.values(t, target.expr); len(values) > 0 {
			target.hasData = true
			target.maximum = max(target.maximum, slices.Max(values))
		}
	}
}

// expect waits until the red panels in the dashboard's first row and the firing alerts are the expected ones. It
// ignores the tolerated alerts, and WeftSlow, which may fire on a busy machine at any time.
func (o *outages) expect(t *testing.T, outage, red, alerts, tolerated string) {
	t.Helper()
	var gotRed, gotAlerts string
	defer func() {
		if t.Failed() {
			t.Logf("%s: red %q, alerts %q; want %q, %q", outage, gotRed, gotAlerts, red, alerts)
		}
	}()
	ignored := append(strings.Fields(tolerated), "WeftSlow")
	harness.Eventually(t, outage, func() bool {
		o.evaluate(t)
		firing := o.prometheus.firing(t, o.alerts)
		firing = slices.DeleteFunc(firing, func(a string) bool { return slices.Contains(ignored, a) })
		gotRed, gotAlerts = strings.Join(o.prometheus.red(t, o.board), ", "), strings.Join(firing, " ")
		return gotRed == red && gotAlerts == alerts
	})
	t.Logf("%s: red %q, alerts %q", outage, gotRed, gotAlerts)
}

// TestDashboardShowsOutages breaks the legacy service, MongoDB, weft and its configuration in turn, under load, while a
// Prometheus scrapes weft and Envoy. The first row of the dashboard shows which one failed, only its alerts fire, and
// every query of every panel has data at least once.
func TestDashboardShowsOutages(t *testing.T) {
	o := startOutages(t)
	respond := func(h http.HandlerFunc) func() { return func() { o.Legacy.Handle(h) } }
	restore := func() { o.Legacy.Handle(nil) }
	usersFrom := func(first int64) func() { return func() { o.first.Store(first) } }
	send := func(p func() *harness.Process, s os.Signal) func() { return func() { signal(t, p(), s) } }
	mongod := func() *harness.Process { return o.Mongod.Process }
	weft := func() *harness.Process { return o.weft }
	rules := func(old, by string) func() { return func() { o.publishRules(t, old, by) } }
	fail := func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(500) }
	var more *harness.Load
	outages := []struct {
		name       string
		begin, end func()
		red        string // red panels
		alerts     string // firing alerts
		tolerated  string // alerts that may also fire on a busy machine
	}{
		{
			name: "the legacy service responds 500", begin: respond(fail), end: restore,
			red: "The legacy service", alerts: "WeftLegacyFailing",
		},
		{
			name:  "it closes connections without a response",
			begin: respond(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), end: restore,
			red: "The legacy service", alerts: "WeftLegacyFailing",
		},
		{
			name: "it closes connections in the middle of a body",
			begin: respond(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(rw, `{"userId":`)
				_ = http.NewResponseController(rw).Flush()
				panic(http.ErrAbortHandler)
			}), end: restore,
			red: "The legacy service", alerts: "WeftExchangesCutOff",
		},
		{
			name:  "it does not listen",
			begin: func() { _ = o.Legacy.Stop() },
			end: func() {
				if err := o.Legacy.Start(); err != nil {
					t.Fatal(err)
				}
			},
			red: "The legacy service", alerts: "WeftLegacyFailing",
		},
		{
			name:  "it is slower than the route's timeout",
			begin: respond(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), end: restore,
			red: "The legacy service", alerts: "WeftLegacyFailing",
		},
		{
			name:  "it responds with HTML",
			begin: respond(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "<html>") }), end: restore,
			red: "The legacy service", alerts: "WeftCoreInvalid",
		},
		{
			name: "one response has another user's core",
			begin: func() {
				var once atomic.Bool
				o.Legacy.Handle(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					id, _ := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
					if once.CompareAndSwap(false, true) {
						id = 424242
					}
					_, _ = io.WriteString(rw, harness.NewUser(id).Core)
				}))
			}, end: restore,
			alerts: "WeftKeyMismatch",
		},
		{
			name: "MongoDB is frozen", begin: send(mongod, syscall.SIGSTOP), end: send(mongod, syscall.SIGCONT),
			red: "MongoDB", alerts: "WeftMongoDBFailing WeftMongoDBSlow",
			tolerated: "WeftMongoDBPoolExhausted WeftMongoDBUnreachable",
		},
		{
			name:  "MongoDB is frozen, with many clients",
			begin: func() { more = o.startLoad(t, 100); signal(t, mongod(), syscall.SIGSTOP) },
			end:   func() { signal(t, mongod(), syscall.SIGCONT); more.Stop() },
			red:   "MongoDB", alerts: "WeftMongoDBFailing WeftMongoDBPoolExhausted WeftOverloaded",
			tolerated: "WeftMongoDBSlow WeftMongoDBUnreachable",
		},
		{
			name: "MongoDB is killed", begin: send(mongod, syscall.SIGKILL),
			end: func() {
				<-o.Mongod.Done()
				if err := o.RestartMongod(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
			red: "MongoDB", alerts: "WeftMongoDBFailing WeftMongoDBUnreachable", tolerated: "WeftMongoDBSlow",
		},
		{
			name: "documents are malformed", begin: usersFrom(malformed), end: usersFrom(0),
			red: "MongoDB", alerts: "WeftDocumentsInvalid",
		},
		{
			name:  "both fail",
			begin: func() { o.first.Store(malformed); o.Legacy.Handle(http.HandlerFunc(fail)) },
			end:   func() { o.first.Store(0); restore() },
			red:   "The legacy service, MongoDB", alerts: "WeftDocumentsInvalid WeftLegacyFailing",
		},
		{
			name:  "new rules without a new Envoy configuration",
			begin: rules("path: /api/v3/", "path: /api/v4/"), end: rules("version: 1", "version: 1"),
			alerts: "WeftEnvoyMisconfigured",
		},
		{
			name:  "the rules file is invalid",
			begin: rules("version: 1", "version: one"), end: rules("version: 1", "version: 1"),
			alerts: "WeftRulesRejected",
		},
		{
			name: "weft is frozen", begin: send(weft, syscall.SIGSTOP), end: send(weft, syscall.SIGCONT),
			red: "weft", alerts: "WeftAbsent WeftDown WeftUnreachable", tolerated: "WeftExchangesCutOff",
		},
		{
			name: "weft is killed", begin: send(weft, syscall.SIGKILL), end: func() { <-o.weft.Done(); o.startWeft() },
			red: "weft", alerts: "WeftAbsent WeftDown WeftUnreachable", tolerated: "WeftExchangesCutOff",
		},
	}
	o.expect(t, "no outage", "", "", "")
	for _, s := range outages {
		s.begin()
		o.expect(t, s.name, s.red, s.alerts, s.tolerated)
		s.end()
		o.expect(t, "after "+s.name, "", "", "")
	}
	for _, target := range o.targets {
		if !target.hasData {
			t.Errorf("%s never had data: %s", target.name, target.expr)
		} else if target.maximum == 0 && !strings.HasSuffix(target.name, ": no healthy host") { // the host is static
			t.Errorf("%s was never more than 0: %s", target.name, target.expr)
		}
	}
	_, metrics, _ := strings.Cut(page(t, o.admin+"/metrics"), " ")
	checkMetrics(t, metrics) // includes the metrics of TLS
	offered := o.prometheus.variables(t, o.board)
	got := fmt.Sprint(offered["job"], offered["rule"], offered["legacy"], len(offered["instance"]))
	if want := "[weft] [composite-profile user] [legacy weft] 1"; got != want {
		t.Errorf("the variables offer %v, want %s", offered, want)
	}
}
