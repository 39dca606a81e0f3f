package manifests_test

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"weft/test/k8s"
)

// asOverlay are the values with which the chart renders the objects of an overlay.
const asOverlay = `
legacy: {create: true, image: "legacy:devel"}
mongodb:
  uri: "mongodb://weft:change-me@mongodb-0.mongodb,mongodb-1.mongodb,mongodb-2.mongodb/\
    ?replicaSet=rs0&authSource=admin&serverSelectionTimeoutMS=2000&connectTimeoutMS=2000"
`

// withComponents are the values with which the chart renders the components, too.
const withComponents = `
legacy: {create: true, image: "legacy:devel"}
mongodb:
  replicaSet:
    enabled: true
    rootPassword: change-me
    weftPassword: change-me
    keyfile: Y2hhbmdlLW1lLW9wZW5zc2wtcmFuZC0tYmFzZTY0LTc1Ng==
monitoring: {enabled: true}
dashboard: {enabled: true}
tls: {certManager: true}
`

// helm runs helm on the chart, in the namespace shop, with a values file.
func helm(t *testing.T, values string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(values), 0o644); err != nil {
		t.Fatal(err)
	}
	args = append(args, k8s.Path(t, "k8s", "chart"), "--namespace", "shop", "--values", file)
	out, errors, err := k8s.Try(t, k8s.Tool(t, "helm"), args...)
	return string(out), string(errors), err
}

// chart returns the output of the chart for values.
func chart(t *testing.T, values string, args ...string) []byte {
	t.Helper()
	stdout, stderr, err := helm(t, values, append([]string{"template", "weft"}, args...)...)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	return []byte(stdout)
}

// byName returns objects by kind and name, without differences between kustomize and Helm: the namespace, which Helm
// does not create; how pods are replaced when Envoy's configuration changes, by the name of a ConfigMap or by an
// annotation; and the order of variables.
func byName(t *testing.T, manifest []byte) map[string]any {
	t.Helper()
	manifest = regexp.MustCompile(`weft-envoy-[a-z0-9]{10}`).ReplaceAll(manifest, []byte("weft-envoy"))
	objects := map[string]any{}
	for _, o := range k8s.Objects(t, manifest) {
		var tree map[string]any
		if err := yaml.Unmarshal(o.YAML, &tree); err != nil {
			t.Fatal(err)
		}
		if o.Kind == "GatewayClass" { // has no namespace; kustomize adds one, which an API server ignores
			delete(tree["metadata"].(map[string]any), "namespace")
		}
		name := o.Kind + " " + o.Metadata.Name
		if _, twice := objects[name]; twice {
			t.Errorf("%s exists twice", name)
		}
		if o.Kind != "Namespace" {
			objects[name] = normal(tree)
		}
	}
	return objects
}

func normal(node any) any {
	switch n := node.(type) {
	case map[string]any:
		for name, child := range n {
			if strings.HasPrefix(name, "checksum/") {
				delete(n, name)
				continue
			}
			n[name] = normal(child)
		}
		if containers, ok := n["initContainers"].([]any); ok && len(containers) == 0 {
			delete(n, "initContainers") // kustomize has removed weft's
		}
		if annotations, ok := n["annotations"].(map[string]any); ok && len(annotations) == 0 {
			delete(n, "annotations")
		}
		if env, ok := n["env"].([]any); ok {
			slices.SortFunc(env, func(a, b any) int {
				return cmp.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
			})
		}
	case []any:
		for i, child := range n {
			n[i] = normal(child)
		}
	}
	return node
}

// modeValues returns the values for a mode.
func modeValues(mode string) string {
	values := "mode=" + mode
	if mode == "module" {
		values += ",envoy.image=weft-envoy:devel"
	}
	return values
}

// TestChart: the chart renders the same objects as kustomize.
func TestChart(t *testing.T) {
	for _, overlay := range k8s.Overlays() {
		t.Run(overlay, func(t *testing.T) {
			want := byName(t, k8s.Overlay(t, overlay))
			if diff := gocmp.Diff(want, byName(t, chart(t, asOverlay, "--set", modeValues(overlay)))); diff != "" {
				t.Errorf("alone (-kustomize +helm):\n%s", diff)
			}
			components := []string{"monitoring", "dashboard", "mongodb"}
			if overlay == "gateway" {
				components = append(components, "cert-manager")
			}
			more := byName(t, with(t, overlay, components...))
			if len(more) <= len(want) {
				t.Fatalf("the components are %d objects", len(more)-len(want))
			}
			if diff := gocmp.Diff(more, byName(t, chart(t, withComponents, "--set", modeValues(overlay)))); diff != "" {
				t.Errorf("with components (-kustomize +helm):\n%s", diff)
			}
		})
	}
}

// TestChartPatch: the patch in the notes of the release changes an existing Deployment as kustomize does.
func TestChartPatch(t *testing.T) {
	for _, overlay := range []string{"sidecar", "standalone", "module"} {
		t.Run(overlay, func(t *testing.T) {
			values := strings.Replace(asOverlay, "create: true", "create: false", 1)
			stdout, stderr, err := helm(t, values, "install", "weft", "--dry-run=client", "--set", modeValues(overlay))
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr)
			}
			_, patch, found := strings.Cut(stdout, "\n# patch\n")
			patch, _, end := strings.Cut(patch, "\n# end")
			if !found || !end || strings.Contains(stdout, "\nkind: Deployment\n") {
				t.Fatalf("there is no patch, or a Deployment:\n%s", stdout)
			}
			patched := kustomize(t, "resources: [../../../k8s/legacy]\nnamespace: shop\n"+
				"patches:\n  - target: {kind: Deployment}\n    path: patch.yaml\n",
				"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: legacy}\n"+patch)
			const name = "Deployment legacy"
			if diff := gocmp.Diff(byName(t, k8s.Overlay(t, overlay))[name], byName(t, patched)[name]); diff != "" {
				t.Errorf("the Deployment (-kustomize +patched):\n%s", diff)
			}
		})
	}
}

// kustomize renders a kustomization with a patch.yaml.
func kustomize(t *testing.T, kustomization, patch string) []byte {
	t.Helper()
	dir, err := os.MkdirTemp(k8s.Path(t, "test", "k8s"), "kustomization-") // its paths are relative to the directory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for name, text := range map[string]string{"kustomization.yaml": kustomization, "patch.yaml": patch} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return k8s.Render(t, dir)
}

func TestLint(t *testing.T) {
	for _, overlay := range k8s.Overlays() {
		for _, values := range []string{asOverlay, withComponents} {
			stdout, stderr, err := helm(t, values, "lint", "--strict", "--set", modeValues(overlay))
			if err != nil || !strings.Contains(stdout, "1 chart(s) linted, 0 chart(s) failed") {
				t.Errorf("%s: %v\n%s%s", overlay, err, stdout, stderr)
			}
		}
	}
	stdout, stderr, err := helm(t, "mode: other\n", "lint")
	if err == nil || !strings.Contains(stdout+stderr, "mode") {
		t.Errorf("helm lint accepts an invalid mode: %v\n%s%s", err, stdout, stderr)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
