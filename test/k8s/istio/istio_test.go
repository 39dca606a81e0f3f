// Package istio tests the sidecar overlay: istiod's code configures a real Envoy, which returns composites.
package istio_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"istio.io/istio/pilot/test/xds"

	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	"istio.io/istio/pkg/config/mesh"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/log"

	"weft/test/harness"
	"weft/test/k8s"
)

func TestMain(m *testing.M) {
	quiet := log.DefaultOptions() // istiod logs a lot
	quiet.SetDefaultOutputLevel(log.OverrideScopeName, log.WarnLevel)
	if err := log.Configure(quiet); err != nil {
		panic(err)
	}
	// A plain Envoy does not have the filters of Istio's build.
	os.Exit(k8s.InNamespace(m, "PILOT_ENABLE_METADATA_EXCHANGE=false"))
}

// objects returns the objects that istiod reads from the API server.
func objects(t *testing.T) (configs, kubernetes string) {
	t.Helper()
	return objectsOf(t, k8s.Overlay(t, "sidecar"))
}

// objectsOf returns the objects of a manifest.
func objectsOf(t *testing.T, manifest []byte) (configs, kubernetes string) {
	t.Helper()
	for _, o := range k8s.Objects(t, manifest) {
		switch o.Kind {
		case "EnvoyFilter":
			configs += string(o.YAML) + "\n---\n"
		case "Namespace", "Service":
			kubernetes += string(o.YAML) + "\n---\n"
		}
	}
	// This test does not use certificates.
	configs += `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: DISABLE}}
---
# Nor is what the pod calls.
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: shop}
spec: {egress: [{hosts: ["~/*"]}]}
`
	kubernetes += `
apiVersion: v1
kind: Pod
metadata: {name: legacy-0, namespace: shop, labels: {app: legacy}}
spec:
  serviceAccountName: default
  nodeName: node
  containers: [{name: legacy, image: legacy, ports: [{containerPort: 8080}]}]
status:
  podIP: 127.0.0.1
  podIPs: [{ip: 127.0.0.1}]
  phase: Running
  conditions: [{type: Ready, status: "True"}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: legacy-0, namespace: shop, labels: {kubernetes.io/service-name: legacy}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
  - addresses: [127.0.0.1]
    conditions: {ready: true}
    targetRef: {kind: Pod, name: legacy-0, namespace: shop}
`
	return configs, kubernetes
}

// startIstiod starts istiod's discovery server with the objects of the overlay and additional ones. It returns the
// server and its address.
func startIstiod(t *testing.T, more string) (istiod *xds.FakeDiscoveryServer, address string) {
	t.Helper()
	m := mesh.DefaultMeshConfig()
	m.EnableAutoMtls = wrapperspb.Bool(false)
	m.OutboundTrafficPolicy = &meshconfig.MeshConfig_OutboundTrafficPolicy{
		Mode: meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY,
	}
	var listener net.Listener
	configs, kubernetes := objects(t)
	istiod = xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		MeshConfig:             m,
		ConfigString:           configs + "---\n" + more,
		KubernetesObjectString: kubernetes,
		ListenerBuilder: func() (net.Listener, error) {
			var err error
			listener, err = net.Listen("tcp", "127.0.0.1:0")
			return listener, err
		},
	})
	return istiod, listener.Addr().String()
}

// startProxy starts an Envoy as Istio's sidecar, with a bootstrap that contains only istiod.
func startProxy(t *testing.T, istiod string) *harness.Envoy {
	t.Helper()
	_, port, err := net.SplitHostPort(istiod)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	drain := []string{"--drain-time-s", "1"} // istio-proxy's is 45 s
	options := harness.EnvoyOptions{Dir: dir, Args: drain, Bootstrap: fmt.Appendf(nil, `
node:
  id: sidecar~127.0.0.1~legacy-0.shop~shop.svc.cluster.local
  cluster: legacy.shop
  metadata:
    CLUSTER_ID: Kubernetes
    INTERCEPTION_MODE: REDIRECT
    ISTIO_VERSION: 1.31.0
    LABELS: {app: legacy}
    NAMESPACE: shop
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
    - name: xds-grpc
      connect_timeout: 1s
      load_assignment:
        cluster_name: xds-grpc
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]
      typed_extension_protocol_options:
        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
          "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
          explicit_http_config: {http2_protocol_options: {}}
`, port)}
	envoy, err := harness.StartEnvoy(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = envoy.Kill()
		k8s.LogOnFailure(t, envoy.Log())
	})
	return envoy
}

// redirect adds an iptables rule like Istio's: connections to the legacy service are redirected to the sidecar, except
// its own.
func redirect(t *testing.T) {
	t.Helper()
	iptables, err := exec.LookPath("iptables")
	if err != nil {
		t.Fatal("iptables is missing; install it (on Debian: apt-get install iptables)")
	}
	k8s.Run(t, iptables, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "8080", "!", "-s", "127.0.0.6",
		"-j", "REDIRECT", "--to-ports", "15006")
}

func TestIstio(t *testing.T) {
	s := k8s.NewSystem(t)
	container := k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "sidecar"))["legacy"])
	weft := s.StartWeft(container)
	istiod, address := startIstiod(t, "")
	envoy := startProxy(t, address)
	redirect(t)

	const url = "http://127.0.0.1:8080"
	s.ExpectComposites(url)
	if got := s.LastRequest().Header.Get("X-Weft"); got != "" {
		t.Errorf("the legacy service got the client's x-weft: %s", got)
	}
	// Rules may allow larger cores than Envoy's default buffer holds.
	dump, err := harness.Get(t.Context(), envoy.Admin()+"/config_dump?resource=dynamic_listeners")
	if err != nil || !strings.Contains(dump.Body, `"per_connection_buffer_limit_bytes": 1114112`) {
		t.Error("the buffer limit is not that of the EnvoyFilter")
	}
	if err := weft.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ExpectWithoutWeft(url)
	s.StartWeft(container)
	s.ExpectComposites(url)

	// The rollback of docs/kubernetes.md: kubectl delete envoyfilter weft.
	if err := istiod.Store().Delete(gvk.EnvoyFilter, "weft", "shop", nil); err != nil {
		t.Fatal(err)
	}
	s.AwaitRollback(envoy.Process, url)
}
