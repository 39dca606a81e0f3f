package istio_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"weft/test/k8s"
)

// write writes text to a temporary file and returns its path.
func write(t *testing.T, name string, text []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// istioctl runs istioctl without a cluster.
func istioctl(t *testing.T, args ...string) (stdout, stderr []byte) {
	t.Helper()
	t.Setenv("KUBECONFIG", os.DevNull)
	stdout, stderr, err := k8s.Try(t, k8s.Tool(t, "istioctl"), args...)
	if err != nil {
		t.Fatalf("istioctl %q: %v\n%s%s", args, err, stdout, stderr)
	}
	return stdout, stderr
}

// TestAnalyze compares the findings of istioctl. The exit status is 0 even for filters that Envoy rejects.
func TestAnalyze(t *testing.T) {
	manifest := k8s.Overlay(t, "sidecar")
	findings := func(manifest []byte) []string {
		stdout, _ := istioctl(t, "analyze", "--use-kube=false", "--all-namespaces", write(t, "sidecar.yaml", manifest))
		return regexp.MustCompile(`(?m)^(Error|Warning) .*?\[IST\d+\].*`).FindAllString(string(stdout), -1)
	}
	code := regexp.MustCompile(`^(Error|Warning) \[IST\d+\]`)
	var codes []string
	for _, f := range findings(manifest) {
		codes = append(codes, code.FindString(f))
		if strings.Contains(f, "Error") || strings.Contains(f, "unknown field") {
			t.Error(f)
		}
	}
	// It warns that EnvoyFilter is an internal API, and that a relative position needs a priority if there are other
	// EnvoyFilters.
	if diff := cmp.Diff([]string{"Warning [IST0133]", "Warning [IST0151]"}, codes); diff != "" {
		t.Errorf("findings (-want +got):\n%s\n%s", diff, findings(manifest))
	}
	wrong := []byte(strings.Replace(string(manifest), "failure_mode_allow:", "failure_mode_allowed:", 1))
	const want = `unknown field "failure_mode_allowed"`
	if !slices.ContainsFunc(findings(wrong), func(f string) bool { return strings.Contains(f, want) }) {
		t.Errorf("a misspelled field is not reported: %s", findings(wrong))
	}
	stdout, stderr := istioctl(t, "validate", "--filename", write(t, "sidecar.yaml", manifest))
	text := string(stdout) + string(stderr)
	if strings.Contains(text, "unknown field") || strings.Contains(text, "Error") {
		t.Error(text)
	}
}

// TestInjected: in the injected pod, Envoy has weft's socket and group, and with Istio's CNI plugin the pod is
// "restricted".
func TestInjected(t *testing.T) {
	generated, _ := istioctl(t, "manifest", "generate", "--set", "components.cni.enabled=true")
	var injector, mesh corev1.ConfigMap
	objects := k8s.Objects(t, generated)
	k8s.Find(t, objects, "ConfigMap", "istio-sidecar-injector", &injector)
	k8s.Find(t, objects, "ConfigMap", "istio", &mesh)
	file := write(t, "sidecar.yaml", k8s.Overlay(t, "sidecar"))
	injected, _ := istioctl(t, "kube-inject", "--revision", "default", "--filename", file,
		"--injectConfigFile", write(t, "config", []byte(injector.Data["config"])),
		"--valuesFile", write(t, "values", []byte(injector.Data["values"])),
		"--meshConfigFile", write(t, "mesh", []byte(mesh.Data["mesh"])))
	pod := k8s.Pods(t, injected)["legacy"]
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == "istio-proxy" })
	if i < 0 {
		t.Fatalf("nothing was injected:\n%s", injected)
	}
	mount := corev1.VolumeMount{Name: "weft-socket", MountPath: "/run/weft"}
	if !slices.Contains(pod.Spec.Containers[i].VolumeMounts, mount) {
		t.Errorf("Istio's Envoy does not see the socket: %v", pod.Spec.Containers[i].VolumeMounts)
	}
	weft := k8s.WeftIn(t, pod)
	if group := pod.Spec.SecurityContext.FSGroup; group == nil || *group != *weft.SecurityContext.RunAsGroup {
		t.Errorf("weft and Istio's Envoy have no common group: %v", group)
	}
	for i, v := range pod.Spec.Volumes {
		if v.VolumeSource == (corev1.VolumeSource{}) { // the API server's default
			pod.Spec.Volumes[i].EmptyDir = &corev1.EmptyDirVolumeSource{}
		}
	}
	if why := k8s.Restricted(t, pod); why != "" {
		t.Error(why)
	}
}
