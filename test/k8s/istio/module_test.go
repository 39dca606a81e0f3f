package istio_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"istio.io/istio/pilot/pkg/config/kube/crd"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config"
	"istio.io/istio/pkg/config/schema/gvk"

	"weft/test/harness"
	"weft/test/k8s"
)

// TestModule: weft moves from its own process to Envoy's, and back, under load. All responses are composites, because
// both EnvoyFilters exist until only the newer one is in use: its routes precede those of the older, which existing
// connections use until Envoy has drained them.
func TestModule(t *testing.T) {
	s := k8s.NewSystem(t)
	container := k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "sidecar"))["legacy"])
	weft := s.StartWeft(container)
	extProc, err := os.ReadFile(k8s.Path(t, "k8s", "overlays", "sidecar", "envoyfilter.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	weftPath, flags := k8s.BuildWeft(t), s.ModuleFlags(k8s.BuildLibrary(t))
	module := func(more ...string) []byte {
		return k8s.Run(t, weftPath, slices.Concat([]string{
			"envoy", "--format", "istio", "--namespace", "shop", "--selector", "app=legacy", "--port", "8080",
		}, flags, more)...)
	}

	istiod, address := startIstiod(t, "")
	envoy := startProxy(t, address)
	redirect(t)
	const url = "http://127.0.0.1:8080"
	s.ExpectComposites(url)

	load := s.StartLoad(url, false)
	defer load.Stop()
	created := time.Now()
	create := func(manifest []byte) {
		t.Helper()
		created = created.Add(time.Minute)
		createObjects(t, istiod, manifest, created)
	}
	remove := func(name string) {
		t.Helper()
		if err := istiod.Store().Delete(gvk.EnvoyFilter, name, "shop", nil); err != nil {
			t.Fatal(err)
		}
	}
	create(module())
	s.AwaitComposites(envoy.Process, true)
	awaitDrain(t, envoy)
	remove("weft")
	s.AwaitComposites(envoy.Process, true)
	// Another configuration: Envoy starts a second module, which gets the admin address when the first one ends.
	updateObjects(t, istiod, module("--message-timeout", "2s"))
	harness.ExpectLog(t, envoy.Process, "admin address is available")
	s.AwaitComposites(envoy.Process, true)
	load.Stop()
	if err := weft.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ExpectComposites(url)

	s.StartWeft(container)
	load = s.StartLoad(url, false)
	create(extProc)
	s.AwaitComposites(envoy.Process, false)
	awaitDrain(t, envoy)
	remove("weft-module")
	s.AwaitModuleEnd(envoy.Process)
	s.AwaitComposites(envoy.Process, false)
	load.Stop()
	s.ExpectComposites(url)
}

// awaitDrain waits until Envoy has no connections with a previous configuration.
func awaitDrain(t *testing.T, envoy *harness.Envoy) {
	t.Helper()
	harness.Eventually(t, "Envoy has drained the previous filter chains", func() bool {
		n, err := envoy.Stat(t.Context(), "listener_manager.total_filter_chains_draining")
		if err != nil {
			t.Fatal(err)
		}
		return n == 0
	})
}

// createObjects creates objects with a creation time, as an API server does.
func createObjects(t *testing.T, istiod *xds.FakeDiscoveryServer, manifest []byte, created time.Time) {
	t.Helper()
	for _, c := range parse(t, manifest) {
		c.CreationTimestamp = created
		if _, err := istiod.Store().Create(c); err != nil {
			t.Fatal(err)
		}
	}
}

// updateObjects replaces the specifications of objects.
func updateObjects(t *testing.T, istiod *xds.FakeDiscoveryServer, manifest []byte) {
	t.Helper()
	for _, c := range parse(t, manifest) {
		before := istiod.Store().Get(c.GroupVersionKind, c.Name, c.Namespace)
		if before == nil {
			t.Fatalf("no %s %s", c.GroupVersionKind, c.Name)
		}
		after := before.DeepCopy()
		after.Spec = c.Spec
		if _, err := istiod.Store().Update(after); err != nil {
			t.Fatal(err)
		}
	}
}

func parse(t *testing.T, manifest []byte) []config.Config {
	t.Helper()
	configs, _, err := crd.ParseInputs(string(manifest))
	if err != nil || len(configs) == 0 {
		t.Fatalf("%d objects: %v", len(configs), err)
	}
	return configs
}
