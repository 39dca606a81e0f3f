package observe_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"weft/enrich"
	"weft/internal/observe"
)

func report(d enrich.Disposition, reason, also enrich.Reason) enrich.Report {
	r := enrich.Report{Rule: "user", Outcome: enrich.Outcome{Disposition: d, Reason: reason, Also: also}}
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
		for _, r := range []enrich.Report{whole, failed, failed, report(enrich.Passed, enrich.NoRule, ""), failed, whole, whole, failed, whole} {
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
	m.Rules("old")
	m.Rules("new")
	m.Reloaded(true)
	want := `
# HELP weft_exchanges_total Exchanges that have ended, by rule, by what became of the response, and why.
# TYPE weft_exchanges_total counter
weft_exchanges_total{also="",disposition="composed",reason="",rule="user"} 1
weft_exchanges_total{also="extension-failed",disposition="degraded",reason="core-invalid",rule="user"} 1
# HELP weft_rules_info 1 for the rules that are in use, by the hash of their file.
# TYPE weft_rules_info gauge
weft_rules_info{hash="new"} 1
# HELP weft_rules_reloads_total Changes of the rules file: applied, or refused since there were mistakes in it.
# TYPE weft_rules_reloads_total counter
weft_rules_reloads_total{result="applied"} 1
weft_rules_reloads_total{result="refused"} 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "weft_exchanges_total", "weft_rules_info", "weft_rules_reloads_total"); err != nil {
		t.Error(err)
	}
}

// TestLog: a line for each exchange, at debug only.
func TestLog(t *testing.T) {
	for level, want := range map[slog.Level]string{
		slog.LevelInfo:  "",
		slog.LevelDebug: `level=DEBUG msg=exchange rule=user outcome=degraded reason=core-invalid also=extension-failed error="context deadline exceeded"`,
	} {
		var log bytes.Buffer
		observe.Log(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})))(report(enrich.Degraded, enrich.CoreInvalid, enrich.ExtensionFailed))
		if got := strings.TrimSpace(log.String()); !strings.HasSuffix(got, want) || (want == "") != (got == "") {
			t.Errorf("%v: %s", level, got)
		}
	}
}
