// Package gateway tests the gateway overlay: Envoy Gateway's controller configures a real Envoy, which returns
// composites.
package gateway_test

import (
	"context"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weft/test/harness"
	"weft/test/k8s"
)

func TestMain(m *testing.M) { os.Exit(k8s.InNamespace(m)) }

// extensions is the part of Envoy Gateway's configuration that the manifests need.
const extensions = `extensionApis:
  enableLua: true
`

// certificate creates weft's certificate as described in docs/kubernetes.md. It returns the directory with the files of
// the Secret.
func certificate(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatal("openssl is missing; install it (on Debian: apt-get install openssl)")
	}
	k8s.Run(t, openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-days", "365", "-subj", "/CN=weft", "-addext", "subjectAltName=DNS:weft.shop.svc",
		"-keyout", filepath.Join(dir, "tls.key"), "-out", filepath.Join(dir, "tls.crt"))
	return dir
}

// secret returns the Secret weft-tls.
func secret(t *testing.T, dir string) string {
	t.Helper()
	text := "apiVersion: v1\nkind: Secret\nmetadata: {name: weft-tls, namespace: shop}\ntype: kubernetes.io/tls\ndata:\n"
	for name, file := range map[string]string{"tls.crt": "tls.crt", "tls.key": "tls.key", "ca.crt": "tls.crt"} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		text += "  " + name + ": " + base64.StdEncoding.EncodeToString(data) + "\n"
	}
	return text
}

// objects returns the objects of the overlay that Envoy Gateway reads.
func objects(t *testing.T) string {
	t.Helper()
	return withBackends(t, k8s.Overlay(t, "gateway"))
}

// withBackends returns the objects of a manifest that Envoy Gateway reads. It does not read Services from files, so
// Backends replace them.
func withBackends(t *testing.T, manifest []byte) string {
	t.Helper()
	var text strings.Builder
	for _, o := range k8s.Objects(t, manifest) {
		switch o.Kind {
		case "BackendTLSPolicy", "GatewayClass", "Gateway", "HTTPRoute", "HTTPRouteFilter", "EnvoyExtensionPolicy",
			"BackendTrafficPolicy", "ClientTrafficPolicy", "SecurityPolicy":
			text.Write(o.YAML)
			text.WriteString("\n---\n")
		}
	}
	// The Service legacy:8080 is 127.0.0.1:8080, and weft:50051 is 127.0.0.1:50051.
	reference := regexp.MustCompile(`(?m)^( *)- name: (legacy|weft)\n +port: (8080|50051)$`)
	if !reference.MatchString(text.String()) {
		t.Fatalf("no references to Services in:\n%s", text.String())
	}
	changed := reference.ReplaceAllString(text.String(), "$1- {group: gateway.envoyproxy.io, kind: Backend, name: $2}")
	const controller = "controllerName: gateway.envoyproxy.io/gatewayclass-controller"
	changed = strings.Replace(changed, controller, controller+`
  parametersRef: {group: gateway.envoyproxy.io, kind: EnvoyProxy, name: proof, namespace: shop}`, 1)
	const service, backend = "group: \"\"\n    kind: Service\n", "group: gateway.envoyproxy.io\n    kind: Backend\n"
	changed = strings.Replace(changed, service, backend, 1)
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

// startGateway starts Envoy Gateway, which starts Envoy. It returns the process, the base URL of the Gateway and the
// file with its objects.
func startGateway(
	t *testing.T, s *k8s.System, objects, extensions, certificate string,
) (gateway *harness.Process, url, file string) {
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
	file = path("objects", "objects.yaml")
	write(file, objects+"---\n"+secret(t, certificate))
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
      host:
        configHome: `+path("config")+`
        dataHome: `+path("data")+`
        stateHome: `+path("state")+`
        runtimeDir: `+path("run")+`
logging: {level: {default: info}}
`+extensions+"  enableBackend: true\n")
	envoy, err := harness.Tool("envoy")
	if err != nil {
		t.Fatal(err)
	}
	// Envoy Gateway does not download Envoy if it is in this directory.
	bin := path("data", "envoy-versions", "1.40.0", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(envoy, filepath.Join(bin, "envoy")); err != nil {
		t.Fatal(err)
	}
	controller := k8s.Tool(t, "envoy-gateway")
	k8s.Run(t, controller, "certgen", "--local", "--config-home", path("config"))
	url = "http://127.0.0.1:80"
	gateway = s.Run(harness.Command{
		Name: "envoy-gateway", Path: controller, Args: []string{"server", "--config-path", path("gateway.yaml")}, Dir: dir,
		Ready: func(ctx context.Context, _ *harness.Process) error {
			_, err := harness.Get(ctx, url+"/other")
			return err
		},
	})
	t.Cleanup(func() { _ = gateway.Stop(20 * time.Second) }) // it stops Envoy
	return gateway, url, file
}

func TestGateway(t *testing.T) {
	s := k8s.NewSystem(t)
	container := k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "gateway"))["weft"])
	dir := certificate(t)
	environment := []string{
		"WEFT_TLS_CERT=" + filepath.Join(dir, "tls.crt"), "WEFT_TLS_KEY=" + filepath.Join(dir, "tls.key"),
	}
	weft := s.StartWeft(container, environment...)
	gateway, url, file := startGateway(t, s, objects(t), extensions, dir)
	s.ExpectComposites(url)
	if err := weft.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ExpectWithoutWeft(url)
	s.StartWeft(container, environment...)
	s.ExpectComposites(url)

	// The rollback of docs/kubernetes.md: kubectl delete -f routes.yaml.
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	routes, err := os.ReadFile(k8s.Path(t, "k8s", "overlays", "gateway", "routes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	deleted := map[string]bool{}
	for _, o := range k8s.Objects(t, routes) {
		deleted[o.Kind+" "+o.Metadata.Name] = true
	}
	var left strings.Builder
	for _, o := range k8s.Objects(t, text) {
		if !deleted[o.Kind+" "+o.Metadata.Name] {
			left.Write(o.YAML)
			left.WriteString("\n---\n")
		}
	}
	if err := os.WriteFile(file, []byte(left.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	s.AwaitRollback(gateway, url)
}

// TestWithoutLua: if Envoy Gateway does not allow Lua, the routes of the composites fail. Therefore the manifests state
// this requirement.
func TestWithoutLua(t *testing.T) {
	_, url, _ := startGateway(t, k8s.NewSystem(t), objects(t), "extensionApis:\n", certificate(t))
	k8s.Expect(t, url+"/api/v1/users/7", 200, "", harness.NewUser(7).Core) // without weft
	k8s.Expect(t, url+"/api/v3/composite-profile/7", 500, "", "")
}
