// Package standalone tests the standalone overlay: a real Envoy returns composites with its bootstrap and arguments.
package standalone_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"weft/test/harness"
	"weft/test/k8s"
)

func TestMain(m *testing.M) { os.Exit(k8s.InNamespace(m)) }

// startEnvoy starts Envoy like the pod's container in an overlay. files are paths in the bootstrap and those that
// replace them. It returns the base URL of the Service.
func startEnvoy(t *testing.T, s *k8s.System, overlay, image string, files ...string) string {
	t.Helper()
	objects := k8s.Objects(t, k8s.Overlay(t, overlay))
	pod := k8s.Pods(t, k8s.Overlay(t, overlay))["legacy"]
	named := func(c corev1.Container) bool { return c.Name == "envoy" }
	container := pod.Spec.Containers[slices.IndexFunc(pod.Spec.Containers, named)]
	if container.Image != image {
		t.Errorf("the test runs Envoy 1.40.0, but the image is %s", container.Image)
	}
	bootstrap := ""
	for _, v := range pod.Spec.Volumes {
		if v.Name == "weft-envoy" {
			var config corev1.ConfigMap
			k8s.Find(t, objects, "ConfigMap", v.ConfigMap.Name, &config)
			bootstrap = config.Data["envoy.yaml"]
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "envoy.yaml")
	bootstrap = strings.NewReplacer(files...).Replace(bootstrap)
	if err := os.WriteFile(file, []byte(bootstrap), 0o644); err != nil {
		t.Fatal(err)
	}
	arguments := slices.Clone(container.Args)
	at := slices.Index(arguments, "/etc/envoy/envoy.yaml")
	if at < 0 {
		t.Fatalf("Envoy's arguments are %s", arguments)
	}
	arguments[at] = file
	path, err := harness.Tool("envoy")
	if err != nil {
		t.Fatal(err)
	}
	var service corev1.Service
	k8s.Find(t, objects, "Service", "legacy", &service)
	url := "http://127.0.0.1:" + service.Spec.Ports[0].TargetPort.String()
	environment := []string{"WEFT_MONGODB_URI=" + s.Mongod.URI()}
	for _, e := range container.Env {
		if e.ValueFrom == nil {
			environment = append(environment, e.Name+"="+e.Value)
		}
	}
	s.Run(harness.Command{
		Name: "envoy", Path: path, Args: arguments, Env: environment, Dir: dir, Ready: harness.Serving(url + "/other"),
	})
	return url
}

func TestStandalone(t *testing.T) {
	s := k8s.NewSystem(t)
	weft := s.StartWeft(k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "standalone"))["legacy"]))
	url := startEnvoy(t, s, "standalone", "envoyproxy/envoy:distroless-v1.40.0")
	s.ExpectComposites(url)
	if err := weft.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ExpectWithoutWeft(url)
}

// TestModule: with the overlay module, weft runs in Envoy's process.
func TestModule(t *testing.T) {
	s := k8s.NewSystem(t)
	// TestEnvoyImage builds the image.
	url := startEnvoy(t, s, "module", "weft-envoy:devel", "/usr/lib/libweft.so", k8s.BuildLibrary(t),
		"/etc/weft/rules.yaml", k8s.Path(t, "k8s", "base", "rules.yaml"))
	s.ExpectComposites(url)
	metrics, err := harness.Get(t.Context(), "http://127.0.0.1:9902/metrics") // weft-metrics selects this port
	if err != nil || !strings.Contains(metrics.Body, `weft_exchanges_total{also="",disposition="composed"`) {
		t.Errorf("metrics: %v, %v", metrics, err)
	}
}
