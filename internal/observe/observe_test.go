package observe_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weft/enrich"
	"weft/internal/observe"
)

func report(d enrich.Disposition, reason, also enrich.Reason) *enrich.Report {
	r := &enrich.Report{Rule: "user", Outcome: enrich.Outcome{Disposition: d, Reason: reason, Also: also}}
	if reason != "" {
		r.Err = context.DeadlineExceeded
	}
	return r
}

// TestHealth: a MongoDB that goes and comes is two lines, however many exchanges there are, and however often it flickers.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		health := observe.NewHealth(slog.New(slog.NewTextHandler(&log, nil)))
		whole, failed := report(enrich.Composed, "", ""), report(enrich.Degraded, enrich.LegacyError, enrich.ExtensionTimeout)
		for _, r := range []*enrich.Report{whole, failed, failed, report(enrich.Passed, enrich.NoRule, ""), failed, whole, whole, failed, whole} {
			health.Watch(r)
			if failed := r.Outcome.Disposition == enrich.Degraded; r.Outcome.Disposition != enrich.Passed && health.Failing() != failed {
				t.Errorf("failing: %t after %v", health.Failing(), r)
			}
		}
		time.Sleep(11 * time.Second)
		health.Watch(failed)
		var levels []string
		for line := range strings.Lines(log.String()) {
			_, rest, _ := strings.Cut(line, "level=")
			level, _, _ := strings.Cut(rest, " ")
			levels = append(levels, level)
		}
		if got := strings.Join(levels, " "); got != "WARN INFO WARN" {
			t.Errorf("%s:\n%s", got, log.String())
		}
	})
}

// TestMetrics has the names that dashboards use.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := observe.NewMetrics(registry, "v1")
	m.Count(report(enrich.Degraded, enrich.CoreInvalid, enrich.ExtensionFailed))
	m.Count(report(enrich.Composed, "", ""))
	m.Rules("old", []*enrich.Rule{{Name: "other"}})
	m.Rules("new", []*enrich.Rule{{Name: "user"}})
	m.Reloaded(true)
	want := `
# HELP weft_rules_info 1 for the rules in force, by the hash of their file.
# TYPE weft_rules_info gauge
weft_rules_info{hash="new"} 1
# HELP weft_rules_reloads_total Changes of the rules file: applied, or refused because it has errors.
# TYPE weft_rules_reloads_total counter
weft_rules_reloads_total{result="applied"} 1
weft_rules_reloads_total{result="refused"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "weft_rules_info", "weft_rules_reloads_total"); err != nil {
		t.Error(err)
	}
}

// TestRulesThatAreGone: their series are deleted, and those of the others stay.
func TestRulesThatAreGone(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := observe.NewMetrics(registry, "v1")
	rules := func(name string) []*enrich.Rule {
		return []*enrich.Rule{{Name: "user"}, {Name: name, Sources: []*enrich.Source{{Collection: name}}}}
	}
	series := func() (n int) {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "weft_") {
				n += len(f.GetMetric())
			}
		}
		return n
	}
	m.Rules("h", rules("first"))
	m.Count(report(enrich.Composed, "", ""))
	want := series()
	for n := range 100 {
		name := fmt.Sprint("rule", n)
		m.Rules("h", rules(name))
		r := report(enrich.Degraded, enrich.CoreInvalid, enrich.ExtensionFailed)
		r.Rule = name
		m.Count(r)
		m.Command(&enrich.Source{Collection: name}, &enrich.Command{}, nil)
	}
	m.Rules("h", rules("last"))
	if got := series(); got != want {
		t.Errorf("%d series, want %d", got, want)
	}
}

// TestLog: a line for each exchange, at debug only, with what leads to the request in Envoy's log and in traces.
func TestLog(t *testing.T) {
	r := report(enrich.Degraded, enrich.CoreInvalid, enrich.ExtensionFailed)
	r.Status, r.RequestID = 200, "r-1"
	r.Trace.ID = [16]byte{15: 1}
	r.Times = enrich.Times{Legacy: 20 * time.Millisecond, Added: 300 * time.Microsecond}
	for level, want := range map[slog.Level]string{
		slog.LevelInfo: "",
		slog.LevelDebug: `level=DEBUG msg=exchange rule=user outcome=degraded reason=core-invalid also=extension-failed ` +
			`status=200 legacy=20ms added=300µs trace_id=00000000000000000000000000000001 request_id=r-1 error="context deadline exceeded"`,
	} {
		var log bytes.Buffer
		observe.Log(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})))(r)
		if got := strings.TrimSpace(log.String()); !strings.HasSuffix(got, want) || (want == "") != (got == "") {
			t.Errorf("%v: %s", level, got)
		}
	}
}

// BenchmarkCount is what the metrics cost an exchange: it must not allocate.
func BenchmarkCount(b *testing.B) {
	m := observe.NewMetrics(prometheus.NewRegistry(), "v1")
	r := report(enrich.Composed, "", "")
	r.Status, r.CoreSize, r.AnswerSize = 200, 100, 200
	r.Times = enrich.Times{Began: time.Now(), Legacy: 20 * time.Millisecond, Added: 300 * time.Microsecond, Read: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		m.Count(r)
	}
}

// TestCountAllocatesNothing for an exchange whose labels are known and whose trace is not recorded.
func TestCountAllocatesNothing(t *testing.T) {
	m := observe.NewMetrics(prometheus.NewRegistry(), "v1")
	r := report(enrich.Composed, "", "")
	r.Status, r.Times = 200, enrich.Times{Began: time.Now(), Legacy: time.Millisecond, Added: 1, Read: 1}
	if n := testing.AllocsPerRun(100, func() { m.Count(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestExemplars: a slow exchange leads to its trace, if it is recorded.
func TestExemplars(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := observe.NewMetrics(registry, "v1")
	r := report(enrich.Composed, "", "")
	r.Status, r.Trace = 200, enrich.Trace{ID: [16]byte{15: 1}, Sampled: true}
	r.Times = enrich.Times{Began: time.Now(), Legacy: 3 * time.Second}
	m.Count(r)
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept", "application/openmetrics-text")
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(recorder, request)
	const want = `weft_legacy_duration_seconds_bucket{rule="user",le="5.0"} 1 # {trace_id="00000000000000000000000000000001"} 3.0`
	if !strings.Contains(recorder.Body.String(), want) {
		t.Errorf("no %s in\n%s", want, recorder.Body)
	}
}
