package manifests_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"weft/test/k8s"
)

// TestDashboard: the dashboard and the alerts are copies of the files in docs/dashboards, which are tested with a real
// Prometheus.
func TestDashboard(t *testing.T) {
	objects := k8s.Objects(t, with(t, "gateway", "monitoring", "dashboard"))
	var dashboard corev1.ConfigMap
	k8s.Find(t, objects, "ConfigMap", "weft-dashboard", &dashboard)
	want := read(t, k8s.Path(t, "docs", "dashboards", "weft.json"))
	if diff := gocmp.Diff(want, dashboard.Data["weft.json"]); diff != "" {
		t.Errorf("the dashboard (-docs +ConfigMap):\n%s", diff)
	}
	if dashboard.Labels["grafana_dashboard"] != "1" {
		t.Errorf("Grafana's sidecar does not find it: %v", dashboard.Labels)
	}

	var rule struct {
		APIVersion, Kind string
		Metadata         struct{ Name, Namespace string }
		Spec             any
	}
	k8s.Find(t, objects, "PrometheusRule", "weft", &rule)
	var alerts any
	if err := yaml.Unmarshal([]byte(read(t, k8s.Path(t, "docs", "dashboards", "weft-alerts.yaml"))), &alerts); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(alerts, rule.Spec); diff != "" || alerts == nil {
		t.Errorf("the alerts (-docs +PrometheusRule):\n%s", diff)
	}
}
