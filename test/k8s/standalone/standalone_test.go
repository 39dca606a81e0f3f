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

// startEnvoy starts Envoy like the pod's container. It returns the base URL of the Service.
func startEnvoy(t *testing.T, s *k8s.System) string {
	t.Helper()
	objects := k8s.Objects(t, k8s.Overlay(t, "standalone"))
	pod := k8s.Pods(t, k8s.Overlay(t, "standalone"))["legacy"]
	named := func(c corev1.Container) bool { return c.Name == "envoy" }
	container := pod.Spec.Containers[slices.IndexFunc(pod.Spec.Containers, named)]
	if !strings.HasSuffix(container.Image, "-v1.40.0") {
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
	s.Run(harness.Command{Name: "envoy", Path: path, Args: arguments, Dir: dir, Ready: harness.Serving(url + "/other")})
	return url
}

func TestStandalone(t *testing.T) {
	s := k8s.NewSystem(t)
	weft := s.StartWeft(k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "standalone"))["legacy"]))
	url := startEnvoy(t, s)
	s.ExpectComposites(url)
	if err := weft.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ExpectWithoutWeft(url)
}
