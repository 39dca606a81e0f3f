package gateway_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weft/test/k8s"
)

// withModule returns the objects of the overlay with weft in Envoy's process, whose policy is attached to the HTTPRoute
// legacy.
func withModule(t *testing.T, flags []string) string {
	t.Helper()
	made := k8s.Run(t, k8s.BuildWeft(t), slices.Concat([]string{
		"envoy", "--format", "gateway", "--namespace", "shop", "--gateway", "eg", "--attach", "httproute/legacy",
		"--legacy", "legacy:8080",
	}, flags)...)
	// Envoy Gateway merges a changed file into its objects. An API server replaces objects, as another name does here.
	const policy = "kind: EnvoyExtensionPolicy\nmetadata:\n  name: weft-"
	return overlay(t, false, strings.ReplaceAll(string(made), policy, policy+"module-"))
}

// allowModule adds the library to the list of the EnvoyProxy.
func allowModule(objects, library string) string {
	const spec = "spec: {provider: {type: Host, host: {envoyVersion: 1.40.0}}}\n"
	return strings.Replace(objects, spec, spec[:len(spec)-2]+
		", dynamicModules: [{name: weft, source: {local: {path: "+library+"}}, doNotClose: true}]}\n", 1)
}

// TestModule: weft moves from its own process to Envoy's, and back, under load. Listeners, routes and clusters change
// one after the other, and in between responses pass without weft.
func TestModule(t *testing.T) {
	s := k8s.NewSystem(t)
	container := k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "gateway"))["weft"])
	dir := certificate(t)
	environment := []string{"WEFT_TLS_CERT=" + dir + "/tls.crt", "WEFT_TLS_KEY=" + dir + "/tls.key"}
	weft := s.StartWeft(container, environment...)
	library := k8s.BuildLibrary(t)
	extProc := allowModule(overlay(t, true, ""), library)
	module := allowModule(withModule(t, s.ModuleFlags(library)), library)

	gateway, url, file := startGateway(t, s, extProc, extensions, dir)
	s.ExpectComposites(url)
	apply := func(objects string) {
		t.Helper()
		complete := filepath.Join(t.TempDir(), "objects.yaml") // Envoy Gateway must not read a part of it
		if err := os.WriteFile(complete, []byte(objects+"---\n"+secret(t, dir)), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(complete, file); err != nil {
			t.Fatal(err)
		}
	}
	load := s.StartLoad(url, true)
	defer load.Stop()
	apply(module)
	s.AwaitComposites(gateway, true)
	load.Stop()
	if err := weft.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ExpectComposites(url)

	s.StartWeft(container, environment...)
	load = s.StartLoad(url, true)
	apply(extProc)
	s.AwaitComposites(gateway, false)
	load.Stop()
	s.ExpectComposites(url)
}

// TestModuleNotAllowed: if the EnvoyProxy does not allow the module, the routes of its policies fail. Therefore the
// output of weft envoy states this requirement.
func TestModuleNotAllowed(t *testing.T) {
	s := k8s.NewSystem(t)
	_, url, _ := startGateway(t, s, withModule(t, s.ModuleFlags("/no/such/libweft.so")), extensions, certificate(t))
	k8s.Expect(t, url+"/api/v1/users/7", 500, "", "")
}
