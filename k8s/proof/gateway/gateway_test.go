// Package gateway shows that Envoy Gateway's own controller makes of the gateway overlay what a real Envoy serves composites
// with.
package gateway_test

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weft/internal/stack"
	"weft/k8s/proof"
)

func TestMain(m *testing.M) { os.Exit(proof.InNamespace(m)) }

// extensions are what the manifests want of Envoy Gateway's own configuration.
const extensions = `extensionApis:
  enableLua: true
`

// objects are the overlay's for Envoy Gateway. It takes no Services from files, so that Backends stand for them.
func objects(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, o := range proof.Objects(t, proof.Overlay(t, "gateway")) {
		switch o.Kind {
		case "GatewayClass", "Gateway", "HTTPRoute", "HTTPRouteFilter", "EnvoyExtensionPolicy", "BackendTrafficPolicy", "ClientTrafficPolicy":
			text.Write(o.YAML)
			text.WriteString("\n---\n")
		}
	}
	// The Service legacy:8080 is 127.0.0.1:8080, and weft:50051 is 127.0.0.1:50051.
	reference := regexp.MustCompile(`(?m)^( *)- name: (legacy|weft)\n +port: (8080|50051)$`)
	if n := len(reference.FindAllString(text.String(), -1)); n != 6 {
		t.Fatalf("there are %d references to Services:\n%s", n, text.String())
	}
	changed := reference.ReplaceAllString(text.String(), "$1- {group: gateway.envoyproxy.io, kind: Backend, name: $2}")
	changed = strings.Replace(changed, "controllerName: gateway.envoyproxy.io/gatewayclass-controller", `controllerName: gateway.envoyproxy.io/gatewayclass-controller
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: proof, namespace: shop}`, 1)
	return changed + `
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyProxy
metadata: {name: proof, namespace: shop}
spec: {provider: {type: Host, host: {envoyVersion: 1.40.0}}}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: legacy, namespace: shop}
spec: {endpoints: [{ip: {address: 127.0.0.1, port: 8080}}]}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: Backend
metadata: {name: weft, namespace: shop}
spec: {endpoints: [{ip: {address: 127.0.0.1, port: 50051}}]}
`
}

// startGateway starts Envoy Gateway, which starts Envoy, and returns the base URL of the Gateway.
func startGateway(t *testing.T, extensions string) string {
	t.Helper()
	dir := t.TempDir()
	path := func(elements ...string) string { return filepath.Join(append([]string{dir}, elements...)...) }
	write := func(file, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(path("objects", "objects.yaml"), objects(t))
	write(path("gateway.yaml"), `
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyGateway
gateway: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
provider:
  type: Custom
  custom:
    resource: {type: File, file: {paths: [`+path("objects")+`]}}
    infrastructure:
      type: Host
      host: {configHome: `+path("config")+`, dataHome: `+path("data")+`, stateHome: `+path("state")+`, runtimeDir: `+path("run")+`}
logging: {level: {default: info}}
`+extensions+"  enableBackend: true\n")
	envoy, err := stack.Tool("envoy")
	if err != nil {
		t.Fatal(err)
	}
	// Where it looks for an Envoy before it would download one.
	bin := path("data", "envoy-versions", "1.40.0", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(envoy, filepath.Join(bin, "envoy")); err != nil {
		t.Fatal(err)
	}
	controller := proof.Tool(t, "envoy-gateway")
	proof.Run(t, controller, "certgen", "--local", "--config-home", path("config"))
	gateway, err := stack.Start(stack.Command{
		Name: "envoy-gateway", Path: controller, Args: []string{"server", "--config-path", path("gateway.yaml")}, Dir: dir, Log: path("log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = gateway.Stop(20 * time.Second)
		proof.LogOnFailure(t, gateway.Log())
	})
	const url = "http://127.0.0.1:80"
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := gateway.AwaitReady(ctx, func(context.Context) error { _, err := proof.TryGet(t, url+"/other", nil); return err }); err != nil {
		t.Fatal(err)
	}
	return url
}

func TestGateway(t *testing.T) {
	legacy := proof.StartLegacy(t, "127.0.0.1:8080")
	container := proof.WeftIn(t, proof.Pods(t, proof.Overlay(t, "gateway"))["weft"])
	mongodb := proof.StartMongod(t)
	weft := proof.StartWeft(t, container, mongodb)
	url := startGateway(t, extensions)
	proof.ExpectComposites(t, url, legacy)
	if err := weft.Kill(); err != nil {
		t.Fatal(err)
	}
	proof.ExpectWithoutWeft(t, url)
	proof.StartWeft(t, container, mongodb)
	proof.ExpectComposites(t, url, legacy)
}

// TestWithoutLua shows what comes of an Envoy Gateway that does not allow Lua: nothing at all, so that the manifests say what it
// needs.
func TestWithoutLua(t *testing.T) {
	proof.StartLegacy(t, "127.0.0.1:8080")
	container := proof.WeftIn(t, proof.Pods(t, proof.Overlay(t, "gateway"))["weft"])
	proof.StartWeft(t, container, proof.StartMongod(t))
	url := startGateway(t, "extensionApis:\n")
	proof.Expect(t, url+"/api/v1/users/7", nil, 200, "composed", proof.Composite)
	proof.Expect(t, url+"/api/v3/composite-profile/7", nil, 500, "", "")
}
