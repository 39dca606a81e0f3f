package operations_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/metadata"

	"weft/enrich"
	"weft/enrich/mongostore"
	"weft/extproc"
	"weft/internal/observe"
	"weft/internal/rulesfile"
	"weft/test/harness"
)

// TestReload changes the rules of a running weft as Kubernetes updates a mounted ConfigMap: each version is a
// directory, and a symlink to it is renamed into place. Invalid rules are rejected, and the previous ones stay in use.
func TestReload(t *testing.T) {
	s, admin, dir, versions := newSystem(t), freeAddr(t), t.TempDir(), 0
	publish := func(path string) {
		t.Helper()
		versions++
		version := fmt.Sprintf("..version_%d", versions)
		text := strings.ReplaceAll(reloadRules, "PATH", path)
		for _, err := range []error{
			os.Mkdir(filepath.Join(dir, version), 0o700),
			os.WriteFile(filepath.Join(dir, version, "rules.yaml"), []byte(text), 0o600),
			os.Symlink(version, filepath.Join(dir, "..new")),
			os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	publish("/a/{id:int64}")
	rules := filepath.Join(dir, "rules.yaml")
	if err := os.Symlink("..data/rules.yaml", rules); err != nil {
		t.Fatal(err)
	}
	weft := startWeft(t, s, "--rules", rules, "--admin", admin)
	conn := dial(t, s.Socket)
	hasRule := func(path string) bool {
		t.Helper()
		stream, err := startExchange(t, conn, path)
		_ = stream.CloseSend()
		return err == nil
	}
	if !hasRule("/a/1") || hasRule("/b/1") {
		t.Error("the rules of the file are not in use")
	}
	publish("/b/{id:int64}")
	harness.ExpectLog(t, weft, `msg="rules reloaded"`)
	harness.ExpectLog(t, weft, `regenerate it" run="weft envoy --rules `+rules)
	if hasRule("/a/1") || !hasRule("/b/1") {
		t.Error("the new rules are not in use")
	}
	publish("/c/{id:int}")
	harness.ExpectLog(t, weft, rules+":4:19: rules[0].match.path: {id:int}: unknown type")
	if !hasRule("/b/1") {
		t.Error("the previous rules are not in use after an invalid file")
	}
	metrics := page(t, admin+"/metrics")
	for _, want := range []string{
		`weft_rules_info{hash="`,
		`weft_rules_reloads_total{result="applied"} 1`, `weft_rules_reloads_total{result="rejected"} 1`,
		`weft_exchanges_total{also="",disposition="passed",reason="no-rule",rule=""} 2`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
}

const reloadRules = `version: 1
rules:
  - name: a
    match: {path: "PATH"}
    core: {verify: {id: id}}
    extensions:
      x: {database: d, collection: c, where: {id: {param: id}}, fields: {n: any}}
`

// TestReloadsDoNotLeak replaces the rules 20,000 times under load, each time by rules with other names and sources. The
// heap and the number of metric series do not grow. Because a process, the network and files would be too slow for that
// many changes, weft runs in the test's process and rules and exchanges are values.
func TestReloadsDoNotLeak(t *testing.T) {
	const reloads, clients, maxGrowth = 20_000, 2, 4 << 20
	s := startSystem(t)
	registry := prometheus.NewRegistry()
	metrics := observe.NewMetrics(registry, "devel")
	store, err := mongostore.Open(s.Mongod.URI(), metrics.WatchDriver)
	if err != nil {
		t.Fatal(err)
	}
	store.Ended = metrics.Command
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	var rules atomic.Pointer[extproc.Ruleset]
	weft := &extproc.Server{
		Rules: rules.Load,
		Store: enrich.Limit(enrich.Batch(store), 1024),
		Report: func(r *enrich.Report) {
			metrics.Count(r)
			if r.Outcome.Disposition != enrich.Composed {
				t.Errorf("an exchange is %s (%s): %v", r.Outcome.Disposition, r.Outcome.Reason, r.Err)
			}
		},
	}
	version, builtin := 0, rulesfile.Builtin().Rules
	reload := func() {
		version++
		fresh := renamed(builtin, fmt.Sprint(version))
		metrics.Rules(fmt.Sprint(version), fresh)
		rules.Store(extproc.NewRuleset(fresh, ""))
	}
	exchange := func() bool { return weft.Process(newRecording(t)) == nil && !t.Failed() }
	run := func(reloads int) (heap uint64, series int) {
		reload()
		load := harness.StartLoad(clients, func(*http.Client, int) bool { return exchange() })
		for range reloads {
			reload()
			exchange()
		}
		load.Stop()
		reload() // deletes the series of the last exchanges
		exchange()
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			series += len(family.GetMetric())
		}
		runtime.GC()
		runtime.GC() // frees what finalizers have released
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc, series
	}
	heap, series := run(500)
	heapAfter, seriesAfter := run(reloads)
	t.Logf("heap: %d bytes, then %d; series: %d, then %d", heap, heapAfter, series, seriesAfter)
	if heapAfter > heap+maxGrowth {
		t.Errorf("the heap grew from %d to %d bytes", heap, heapAfter)
	}
	if seriesAfter > series {
		t.Errorf("%d series, then %d", series, seriesAfter)
	}
}

// recording is a stream with the messages of one exchange.
type recording struct {
	ctx      context.Context
	messages []*extprocv3.ProcessingRequest
}

func newRecording(t *testing.T) *recording {
	budget := metadata.Pairs(extproc.BudgetHeader, "1m") // long enough for a busy machine
	return &recording{ctx: metadata.NewIncomingContext(t.Context(), budget), messages: []*extprocv3.ProcessingRequest{
		requestHeaders("/api/v1/users/7"), responseHeaders("200", "via_upstream"), responseBody(harness.NewUser(7).Core),
	}}
}

func (r *recording) Context() context.Context { return r.ctx }

func (r *recording) Receive() (*extprocv3.ProcessingRequest, error) {
	if len(r.messages) == 0 {
		return nil, io.EOF
	}
	m := r.messages[0]
	r.messages = r.messages[1:]
	return m, nil
}

func (r *recording) Send(*extprocv3.ProcessingResponse) error { return nil }

// renamed returns deep copies of rules, with a suffix added to their names.
func renamed(rules []*enrich.Rule, suffix string) []*enrich.Rule {
	copies := make([]*enrich.Rule, len(rules))
	for i, r := range rules {
		c := *r
		c.Name += "-" + suffix
		c.Sources = nil
		for _, src := range r.Sources {
			s := *src
			c.Sources = append(c.Sources, &s)
		}
		copies[i] = c.Ready()
	}
	return copies
}
