package manifests_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"weft/test/k8s"
)

// kubernetes is the version of the validation.
const kubernetes = "1.32"

// validate validates manifests like an API server: fields, types, and the CEL rules of custom resources.
func validate(t *testing.T, manifest []byte) (string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, manifest, 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := k8s.Try(t, k8s.Tool(t, "kubectl-validate"), "--version", kubernetes,
		"--local-crds", k8s.Path(t, ".tools", "k8s", "crds"), file)
	return string(stdout) + string(stderr), err
}

// with renders an overlay with components.
func with(t *testing.T, overlay string, components ...string) []byte {
	t.Helper()
	text := "namespace: shop\nresources: [../../../k8s/overlays/" + overlay + "]\ncomponents:\n"
	for _, c := range components {
		text += "  - ../../../k8s/components/" + c + "\n"
	}
	return kustomize(t, text, "")
}

func TestAccepted(t *testing.T) {
	for _, overlay := range k8s.Overlays() {
		t.Run(overlay, func(t *testing.T) {
			for name, manifest := range map[string][]byte{
				"alone":           k8s.Overlay(t, overlay),
				"with components": with(t, overlay, "monitoring", "dashboard", "mongodb", "cert-manager"),
			} {
				if output, err := validate(t, manifest); err != nil {
					t.Errorf("%s: %v\n%s", name, err, output)
				}
			}
		})
	}
}

// TestInvalid: the validation rejects invalid manifests.
func TestInvalid(t *testing.T) {
	const unknown = "Invalid value: value provided for unknown field"
	for _, test := range []struct{ overlay, old, new, want string }{
		{"sidecar", "livenessProbe:", "liveProbe:", "spec.template.spec.initContainers[0].liveProbe: " + unknown},
		{"sidecar", "configPatches:", "patches:", "spec.patches: " + unknown},
		{"sidecar", "applyTo: CLUSTER", "applyTo: CLUSTERS", `Unsupported value: "CLUSTERS"`},
		{"gateway", "messageTimeout: 1s", "timeout: 1s", "spec.extProc[0].timeout: " + unknown},
		{"gateway", "allowModeOverride: true", "allowModeOverride: 1", "allowModeOverride"},
		{"gateway", "type: Inline", "type: ValueRef", "Exactly one of inline or valueRef must be set"}, // CEL
		{"standalone", "minReplicas: 3", "minReplicas: three", "spec.minReplicas"},
	} {
		manifest := string(k8s.Overlay(t, test.overlay))
		if !strings.Contains(manifest, test.old) {
			t.Fatalf("%s has no %q", test.overlay, test.old)
		}
		output, err := validate(t, []byte(strings.ReplaceAll(manifest, test.old, test.new)))
		if err == nil || !strings.Contains(output, test.want) {
			t.Errorf("%s with %q: %v, want %s\n%s", test.overlay, test.new, err, test.want, output)
		}
	}
}
