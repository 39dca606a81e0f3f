// Package standalone shows that a real Envoy serves composites with the bootstrap and the arguments of the standalone overlay.
package standalone_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"weft/k8s/proof"
	"weft/test/harness"
)

func TestMain(m *testing.M) { os.Exit(proof.InNamespace(m)) }

// startEnvoy starts Envoy as the pod's container, and returns the base URL of what the Service leads to.
func startEnvoy(t *testing.T) string {
	t.Helper()
	objects := proof.Objects(t, proof.Overlay(t, "standalone"))
	pod := proof.Pods(t, proof.Overlay(t, "standalone"))["legacy"]
	named := func(c corev1.Container) bool { return c.Name == "envoy" }
	container := pod.Spec.Containers[slices.IndexFunc(pod.Spec.Containers, named)]
	if !strings.HasSuffix(container.Image, "-v1.40.0") {
		t.Errorf("this is a proof with Envoy 1.40.0, and the image is %s", container.Image)
	}
	bootstrap := ""
	for _, v := range pod.Spec.Volumes {
		if v.Name == "weft-envoy" {
			var config corev1.ConfigMap
			proof.Find(t, objects, "ConfigMap", v.ConfigMap.Name, &config)
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
	envoy, err := harness.Start(harness.Command{Name: "envoy", Path: path, Args: arguments, Dir: dir, Log: filepath.Join(dir, "log")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = envoy.Kill()
		proof.LogOnFailure(t, envoy.Log())
	})
	var service corev1.Service
	proof.Find(t, objects, "Service", "legacy", &service)
	url := "http://127.0.0.1:" + service.Spec.Ports[0].TargetPort.String()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := envoy.AwaitReady(ctx, func(context.Context) error { _, err := proof.TryGet(t, url+"/other", nil); return err }); err != nil {
		t.Fatal(err)
	}
	return url
}

func TestStandalone(t *testing.T) {
	legacy := proof.StartLegacy(t, "127.0.0.1:8080")
	container := proof.WeftIn(t, proof.Pods(t, proof.Overlay(t, "standalone"))["legacy"])
	mongodb := proof.StartMongod(t)
	weft := proof.StartWeft(t, container, mongodb)
	url := startEnvoy(t)
	proof.ExpectComposites(t, url, legacy)
	if err := weft.Kill(); err != nil {
		t.Fatal(err)
	}
	proof.ExpectWithoutWeft(t, url)
}
