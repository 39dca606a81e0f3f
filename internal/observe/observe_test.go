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

// TestHealth: an outage is two log lines, regardless of the number of exchanges, and changes are logged at most once in
// ten seconds.
func TestHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		health := observe.NewHealth(slog.New(slog.NewTextHandler(&log, nil)))
		ok, passed := report(enrich.Composed, "", ""), report(enrich.Passed, enrich.NoRule, "")
		ok.Reads = make([]enrich.SourceRead, 1)
		failed := report(enrich.Degraded, enrich.LegacyError, enrich.ExtensionTimeout)
		unread := report(enrich.Composed, "", "") // the request selected no extension
		for _, r := range []*enrich.Report{ok, failed, failed, passed, failed, unread, ok, ok, failed, ok} {
			health.Watch(r)
			if want := r.Outcome.Disposition == enrich.Degraded; r != passed && r != unread && health.Failing() != want {
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

// TestMetrics checks metric names that dashboards use.
func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	m := observe.NewMetrics(registry, "v1")
	m.Count(report(enrich.Degraded, enrich.CoreInvalid, enrich.ExtensionFailed))
	m.Count(report(enrich.Composed, "", ""))
	m.Rules("old", []*enrich.Rule{{Name: "other"}})
	m.Rules("new", []*enrich.Rule{{Name: "user"}})
	m.Reloaded(true)
	want := `
# HELP weft_rules_info 1 for the rules in use, by the hash of their file.
# TYPE weft_rules_info gauge
weft_rules_info{hash="new"} 1
# HELP weft_rules_reloads_total Changes of the rules file, by result: applied, or rejected because of errors.
# TYPE weft_rules_reloads_total counter
weft_rules_reloads_total{result="applied"} 1
weft_rules_reloads_total{result="rejected"} 0
`
	names := []string{"weft_rules_info", "weft_rules_reloads_total"}
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), names...); err != nil {
		t.Error(err)
	}
}

// TestRemovedRules: the series of removed rules are deleted, and those of the others stay.
func TestRemovedRules(t *testing.T) {
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

// TestLog: each exchange has a line at level debug, with the IDs of its request and trace.
func TestLog(t *testing.T) {
	r := report(enrich.Degraded, enrich.CoreInvalid, enrich.ExtensionFailed)
	r.Status, r.RequestID = 200, "r-1"
	r.Trace.ID = [16]byte{15: 1}
	r.Times = enrich.Times{Legacy: 20 * time.Millisecond, Added: 300 * time.Microsecond}
	for level, want := range map[slog.Level]string{
		slog.LevelInfo: "",
		slog.LevelDebug: `level=DEBUG msg=exchange rule=user outcome=degraded reason=core-invalid ` +
			`also=extension-failed status=200 legacy=20ms added=300µs ` +
			`trace_id=00000000000000000000000000000001 request_id=r-1 error="context deadline exceeded"`,
	} {
		var log bytes.Buffer
		observe.Log(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})))(r)
		if got := strings.TrimSpace(log.String()); !strings.HasSuffix(got, want) || (want == "") != (got == "") {
			t.Errorf("%v: %s", level, got)
		}
	}
}

// BenchmarkCount measures what the metrics cost per exchange.
func BenchmarkCount(b *testing.B) {
	m := observe.NewMetrics(prometheus.NewRegistry(), "v1")
	r := report(enrich.Composed, "", "")
	r.Status, r.CoreSize, r.AnswerSize = 200, 100, 200
	r.Times = enrich.Times{
		Began: time.Now(), Legacy: 20 * time.Millisecond, Added: 300 * time.Microsecond, Read: time.Millisecond,
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Count(r)
	}
}

// TestCountAllocatesNothing: Count does not allocate for known labels and a trace that is not sampled.
func TestCountAllocatesNothing(t *testing.T) {
	m := observe.NewMetrics(prometheus.NewRegistry(), "v1")
	r := report(enrich.Composed, "", "")
	r.Status, r.Times = 200, enrich.Times{Began: time.Now(), Legacy: time.Millisecond, Added: 1, Read: 1}
	if n := testing.AllocsPerRun(100, func() { m.Count(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestExemplars: the exemplar of a sampled exchange is its trace ID.
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
	const want = `weft_legacy_duration_seconds_bucket{rule="user",le="5.0"} 1 ` +
		`# {trace_id="00000000000000000000000000000001"} 3.0`
	if !strings.Contains(recorder.Body.String(), want) {
		t.Errorf("no %s in\n%s", want, recorder.Body)
	}
}
