package operations_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"weft/test/harness"
)

const alertsFile = "../../docs/dashboards/weft-alerts.yaml"

type alert struct {
	Alert, Expr string
	Labels      map[string]string
	Annotations map[string]string
}

func readAlerts(t *testing.T) (alerts []alert) {
	t.Helper()
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []alert } }
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		alerts = append(alerts, g.Rules...)
	}
	return alerts
}

// TestAlerts: the alerting rules are valid, pass promtool test rules with a firing and a silent case each, and link to
// the runbook.
func TestAlerts(t *testing.T) {
	promtool, err := harness.Tool("promtool")
	if err != nil {
		t.Fatal(err)
	}
	const testsFile = "../../docs/dashboards/weft-alerts-test.yaml"
	for _, args := range [][]string{{"check", "rules", alertsFile}, {"test", "rules", testsFile}} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
	runbook, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(testsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range readAlerts(t) {
		isLinked := a.Annotations["runbook"] == "docs/operations.md#"+strings.ToLower(a.Alert)
		if !isLinked || !strings.Contains(string(runbook), "\n### "+a.Alert+"\n") {
			t.Errorf("%s has no section in docs/operations.md, or no link to it: %q", a.Alert, a.Annotations["runbook"])
		}
		severity := a.Labels["severity"]
		if a.Annotations["summary"] == "" || a.Annotations["description"] == "" ||
			severity != "warning" && severity != "critical" {
			t.Errorf("%s has no summary, no description or no severity", a.Alert)
		}
		fires, silent := 0, 0
		expected := regexp.MustCompile(`alertname: ` + a.Alert + `\n +exp_alerts: *(\[\])?`)
		for _, test := range expected.FindAllStringSubmatch(string(tests), -1) {
			if test[1] == "" {
				fires++
			} else {
				silent++
			}
		}
		if fires == 0 || silent == 0 {
			t.Errorf("%s: %d firing and %d silent test cases, want both", a.Alert, fires, silent)
		}
	}
}

// firing returns the alerts whose expression is true over the last window.
func (p *prometheusServer) firing(t *testing.T, alerts []alert) (names []string) {
	t.Helper()
	spans := regexp.MustCompile(`\[\d+[mh]\]`)
	for _, a := range alerts {
		if len(p.values(t, spans.ReplaceAllString(a.Expr, "["+window+"]"))) > 0 {
			names = append(names, a.Alert)
		}
	}
	slices.Sort(names)
	return names
}
