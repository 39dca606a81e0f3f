package gateway_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"weft/test/k8s"
)

// translate returns the output of Envoy Gateway for a manifest, as printed by egctl.
func translate(t *testing.T, manifest []byte, args ...string) (stdout []byte, stderr string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, manifest, 0o644); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"x", "translate", "--from", "gateway-api", "--file", file}, args...)
	out, errors, err := k8s.Try(t, k8s.Tool(t, "egctl"), args...)
	return out, string(errors), err
}

// falseConditions returns the conditions in the status of all objects that are not true. egctl exits with 0 even if
// there are some.
func falseConditions(t *testing.T, status []byte) (failed []string, conditions int) {
	t.Helper()
	var tree any
	if err := yaml.Unmarshal(status, &tree); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			if status, ok := n["status"].(string); ok && n["reason"] != nil {
				conditions++
				if status != "True" {
					text, _ := json.Marshal(n)
					failed = append(failed, string(text))
				}
			}
			for _, child := range n {
				walk(child)
			}
		case []any:
			for _, child := range n {
				walk(child)
			}
		}
	}
	walk(tree)
	return failed, conditions
}

// withAddresses returns the overlay with addresses of Services, as in a cluster, and the Secret.
func withAddresses(t *testing.T) []byte {
	t.Helper()
	const spec, withIP = "spec:\n  ports:\n", "spec:\n  clusterIP: 10.96.0.7\n  ports:\n"
	overlay := strings.ReplaceAll(string(k8s.Overlay(t, "gateway")), spec, withIP)
	return []byte(overlay + "---\n" + secret(t, certificate(t)))
}

func TestStatus(t *testing.T) {
	manifest := withAddresses(t)
	stdout, stderr, err := translate(t, manifest, "--to", "gateway-api")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if failed, conditions := falseConditions(t, stdout); len(failed) > 0 || conditions < 15 {
		t.Errorf("some of %d conditions are not true: %s", conditions, failed)
	}

	// weft's Service has another name.
	const service = "kind: Service\nmetadata:\n  name: "
	renamed := strings.Replace(string(manifest), service+"weft\n", service+"other\n", 1)
	stdout, stderr, err = translate(t, []byte(renamed), "--to", "gateway-api")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if failed, _ := falseConditions(t, stdout); len(failed) == 0 || !strings.Contains(strings.Join(failed, "\n"), "weft") {
		t.Errorf("the missing Service of weft is not reported: %s", failed)
	}

	// A field is misspelled.
	misspelled := strings.Replace(string(manifest), "failOpen:", "failsOpen:", 1)
	_, stderr, err = translate(t, []byte(misspelled), "--to", "gateway-api")
	if err == nil || !strings.Contains(stderr, "failsOpen") {
		t.Errorf("a misspelled field is not reported: %v\n%s", err, stderr)
	}
}

// TestExtProcStrictly decodes the ext_proc filters that Envoy Gateway generates. Unknown fields are errors.
func TestExtProcStrictly(t *testing.T) {
	manifest := []byte(objects(t) + "---\n" + secret(t, certificate(t)))
	stdout, stderr, err := translate(t, manifest, "--to", "xds", "--type", "listener", "--output", "json")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var tree any
	if err := json.Unmarshal(stdout, &tree); err != nil {
		t.Fatal(err)
	}
	found := 0
	var walk func(any)
	walk = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			if n["@type"] == "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor" {
				found++
				delete(n, "@type")
				text, _ := json.Marshal(n)
				var config extprocv3.ExternalProcessor
				if err := protojson.Unmarshal(text, &config); err != nil {
					t.Error(err)
				}
				if err := config.ValidateAll(); err != nil {
					t.Error(err)
				}
				if !config.GetFailureModeAllow() || !config.GetAllowModeOverride() || config.GetMessageTimeout().GetSeconds() != 1 {
					t.Errorf("it differs from the policy: %v", &config)
				}
			}
			for _, child := range n {
				walk(child)
			}
		case []any:
			for _, child := range n {
				walk(child)
			}
		}
	}
	walk(tree)
	if found != 2 {
		t.Errorf("%d ext_proc filters, want one for each rule", found)
	}
}

// TestLimits: the circuit breakers to weft are those of the other formats, and weft adds no timeout to a route of the
// legacy service.
func TestLimits(t *testing.T) {
	manifest := withAddresses(t)
	resources := func(kind string) string {
		stdout, stderr, err := translate(t, manifest, "--to", "xds", "--type", kind, "--output", "json")
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
		return regexp.MustCompile(`\s+`).ReplaceAllString(string(stdout), "")
	}
	const limits = `"circuitBreakers":{"thresholds":[` +
		`{"maxConnections":65536,"maxPendingRequests":65536,"maxRequests":65536,`
	clusters := resources("cluster")
	if n, want := strings.Count(clusters, limits), 2; n != want { // one for each policy
		t.Errorf("%d clusters with weft's limits, want %d:\n%s", n, want, clusters)
	}
	if n := strings.Count(clusters, `"maxConcurrentStreams":1024`); n != 2 {
		t.Errorf("%d clusters with the streams of a connection, want 2:\n%s", n, clusters)
	}
	routes := resources("route")
	for timeout, want := range map[string]int{"0s": 2, "3s": 2} { // legacy and weft-…-other; GET and HEAD of the rule
		if n := strings.Count(routes, `"timeout":"`+timeout+`"`); n != want {
			t.Errorf("%d routes with the timeout %s, want %d:\n%s", n, timeout, want, routes)
		}
	}
}
