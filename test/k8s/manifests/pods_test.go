package manifests_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"weft/test/k8s"
)

// TestRestricted: the API server's PodSecurity admission accepts each pod as "restricted".
func TestRestricted(t *testing.T) {
	for _, overlay := range k8s.Overlays() {
		pods := k8s.Pods(t, with(t, overlay, "mongodb", "monitoring"))
		if len(pods) < 2 {
			t.Fatalf("%s has %d pods", overlay, len(pods))
		}
		for name, pod := range pods {
			if why := k8s.Restricted(t, pod); why != "" {
				t.Errorf("%s, %s: %s", overlay, name, why)
			}
			pod.Spec.HostNetwork = true
			if k8s.Restricted(t, pod) == "" {
				t.Errorf("%s, %s: the host's network is not rejected", overlay, name)
			}
		}
	}
}

// TestSameWeft: weft's containers are the same in all overlays, except where they must differ.
func TestSameWeft(t *testing.T) {
	alone := k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "gateway"))["weft"])
	for _, overlay := range []string{"sidecar", "standalone"} {
		sidecar := k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, overlay))["legacy"])
		// The pod starts and gets requests even if a native sidecar fails.
		isNative := sidecar.RestartPolicy != nil && *sidecar.RestartPolicy == corev1.ContainerRestartPolicyAlways
		if !isNative || sidecar.StartupProbe != nil || sidecar.ReadinessProbe != nil {
			t.Errorf("%s: a failure of weft may affect the legacy service", overlay)
		}
		want := *alone.DeepCopy()
		want.RestartPolicy = sidecar.RestartPolicy
		want.ReadinessProbe = nil
		want.Ports = slices.DeleteFunc(want.Ports, func(p corev1.ContainerPort) bool { return p.Name == "grpc" })
		want.VolumeMounts[0] = corev1.VolumeMount{Name: "weft-socket", MountPath: "/run/weft"} // instead of weft-tls
		want.Env = slices.DeleteFunc(want.Env, func(e corev1.EnvVar) bool {
			return e.Name == "WEFT_BUDGET" || strings.HasPrefix(e.Name, "WEFT_TLS_")
		})
		want.Env[0].Value = "unix:///run/weft/weft.sock"
		want.Env = slices.Insert(want.Env, 2, corev1.EnvVar{Name: "WEFT_DRAIN_WINDOW", Value: "0s"})
		if diff := cmp.Diff(want, sidecar); diff != "" {
			t.Errorf("weft in gateway and in %s (-gateway +%s):\n%s", overlay, overlay, diff)
		}
	}
}

// TestFlags: weft has the flags and environment variables of the manifests.
func TestFlags(t *testing.T) {
	c := k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "gateway"))["weft"])
	help := string(k8s.Run(t, k8s.BuildWeft(t), "serve", "--help"))
	for _, e := range c.Env {
		if !strings.Contains(help, "[$"+e.Name+"]") {
			t.Errorf("weft serve does not have %s", e.Name)
		}
	}
	for _, arg := range c.Args[1:] {
		flag, _, _ := strings.Cut(arg, "=")
		if !strings.Contains(help, flag+" ") {
			t.Errorf("weft serve does not have %s", flag)
		}
	}
}

// TestReload: a change of the rules arrives in running pods. The ConfigMap keeps its name and is mounted as a
// directory, because a file that is mounted with subPath is never updated.
func TestReload(t *testing.T) {
	for _, overlay := range k8s.Overlays() {
		pods := k8s.Pods(t, k8s.Overlay(t, overlay))
		pod, ok := pods["weft"]
		if !ok {
			pod = pods["legacy"]
		}
		for _, m := range k8s.WeftIn(t, pod).VolumeMounts {
			if m.SubPath != "" {
				t.Errorf("%s: %s is mounted with subPath", overlay, m.Name)
			}
		}
		isRules := func(v corev1.Volume) bool { return v.ConfigMap != nil && v.ConfigMap.Name == "weft-rules" }
		if !slices.ContainsFunc(pod.Spec.Volumes, isRules) {
			t.Errorf("%s: no volume of weft-rules", overlay)
		}
	}
}
