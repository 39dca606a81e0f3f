package gateway_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	"weft/test/k8s"
)

// translate returns what Envoy Gateway makes of a manifest, as egctl prints it.
func translate(t *testing.T, manifest []byte, args ...string) (stdout []byte, stderr string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, manifest, 0o644); err != nil {
		t.Fatal(err)
	}
	out, errors, err := k8s.Try(t, k8s.Tool(t, "egctl"), append([]string{"x", "translate", "--from", "gateway-api", "--file", file}, args...)...)
	return out, string(errors), err
}

// refusals returns the conditions that are not true in the status of all objects. egctl exits with 0 even if there are
// some.
func refusals(t *testing.T, status []byte) (refused []string, conditions int) {
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
					refused = append(refused, string(text))
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
	return refused, conditions
}

func TestStatus(t *testing.T) {
	// In a cluster, Services have addresses.
	manifest := []byte(strings.ReplaceAll(string(k8s.Overlay(t, "gateway")), "spec:\n  ports:\n", "spec:\n  clusterIP: 10.96.0.7\n  ports:\n"))
	manifest = append(manifest, "---\n"+secret(t, certificate(t))...)
	stdout, stderr, err := translate(t, manifest, "--to", "gateway-api")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if refused, conditions := refusals(t, stdout); len(refused) > 0 || conditions < 15 {
		t.Errorf("of %d conditions some are not true: %s", conditions, refused)
	}

	// weft's Service has another name.
	stdout, stderr, err = translate(t, []byte(strings.Replace(string(manifest), "kind: Service\nmetadata:\n  name: weft\n", "kind: Service\nmetadata:\n  name: other\n", 1)), "--to", "gateway-api")
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if refused, _ := refusals(t, stdout); len(refused) == 0 || !strings.Contains(strings.Join(refused, "\n"), "weft") {
		t.Errorf("that weft's Service is missing is not found: %s", refused)
	}

	// A field is misspelt.
	_, stderr, err = translate(t, []byte(strings.Replace(string(manifest), "failOpen:", "failsOpen:", 1)), "--to", "gateway-api")
	if err == nil || !strings.Contains(stderr, "failsOpen") {
		t.Errorf("a misspelt field is not found: %v\n%s", err, stderr)
	}
}

// TestExtProcStrictly decodes the ext_proc filters that Envoy Gateway makes. Unknown fields are errors.
func TestExtProcStrictly(t *testing.T) {
	stdout, stderr, err := translate(t, []byte(objects(t)+"---\n"+secret(t, certificate(t))), "--to", "xds", "--type", "listener", "--output", "json")
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
					t.Errorf("it is not as the policy says: %v", &config)
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
		t.Errorf("there are %d ext_proc filters, want one for each rule", found)
	}
}
