package istio_test

import (
	"slices"
	"strings"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"istio.io/istio/pilot/pkg/features"
	"istio.io/istio/pilot/pkg/model"
	"istio.io/istio/pilot/test/xds"
	"istio.io/istio/pkg/config/schema/gvk"
	"istio.io/istio/pkg/test"

	"weft/test/harness"
	"weft/test/k8s"
)

// authentication returns policies that require a token of an issuer.
func authentication(issuer *k8s.Issuer) string {
	return `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: shop}
spec:
  selector: {matchLabels: {app: legacy}}
  jwtRules:
    - issuer: issuer
      jwks: '` + issuer.JWKS() + `'
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: jwt, namespace: shop}
spec:
  selector: {matchLabels: {app: legacy}}
  rules:
    - from: [{source: {requestPrincipals: ["issuer/alice"]}}]
`
}

// routing contains a policy for the connections to the legacy service, and a VirtualService for its clients.
const routing = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: legacy, namespace: shop}
spec:
  selector: {matchLabels: {app: legacy}}
  mtls: {mode: STRICT}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: legacy, namespace: shop}
spec:
  hosts: [legacy.shop.svc.cluster.local]
  http:
    - timeout: 40s
      retries: {attempts: 4}
      mirror: {host: shadow.example}
      route: [{destination: {host: legacy.shop.svc.cluster.local}}]
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: caller, namespace: shop}
spec:
  workloadSelector: {labels: {app: caller}}
  egress: [{hosts: ["*/*"]}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shadow, namespace: shop}
spec:
  hosts: [shadow.example]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.8}]
`

// withoutWeft returns an istiod with the same objects, without weft's EnvoyFilter.
func withoutWeft(t *testing.T, more string) *xds.FakeDiscoveryServer {
	t.Helper()
	configs, kubernetes := objects(t)
	before, _, found := strings.Cut(configs, "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter")
	_, after, ended := strings.Cut(configs, "\n---\n")
	if !found || !ended {
		t.Fatalf("no EnvoyFilter in\n%s", configs)
	}
	return xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
		ConfigString: before + after + "---\n" + more, KubernetesObjectString: kubernetes,
	})
}

func sidecarOf(istiod *xds.FakeDiscoveryServer, app, address string) *model.Proxy {
	return istiod.SetupProxy(&model.Proxy{
		Type: model.SidecarProxy, ConfigNamespace: "shop", ID: app + "-0.shop", IPAddresses: []string{address},
		Labels:   map[string]string{"app": app},
		Metadata: &model.NodeMetadata{Namespace: "shop", Labels: map[string]string{"app": app}, InterceptionMode: "REDIRECT"},
	})
}

// TestConfiguration: weft's EnvoyFilter adds filters, routes and a cluster to the sidecar of the legacy service. It
// changes nothing else there, and nothing in the sidecar of a caller.
func TestConfiguration(t *testing.T) {
	more := authentication(k8s.NewIssuer(t)) + "---\n" + routing
	before := withoutWeft(t, more)
	after, _ := startIstiod(t, more)

	// The sidecar of a caller, whose VirtualService has a timeout, retries and a mirror.
	callerBefore, callerAfter := sidecarOf(before, "caller", "10.0.0.9"), sidecarOf(after, "caller", "10.0.0.9")
	routes := before.Routes(callerBefore)
	for what, diff := range map[string]string{
		"listeners": cmp.Diff(before.Listeners(callerBefore), after.Listeners(callerAfter), protocmp.Transform()),
		"routes":    cmp.Diff(routes, after.Routes(callerAfter), protocmp.Transform()),
		"clusters":  cmp.Diff(before.Clusters(callerBefore), after.Clusters(callerAfter), protocmp.Transform()),
	} {
		if diff != "" {
			t.Errorf("the %s of a caller (-without weft +with weft):\n%s", what, diff)
		}
	}
	if !slices.ContainsFunc(routes, func(c *routev3.RouteConfiguration) bool {
		return slices.ContainsFunc(c.GetVirtualHosts(), func(h *routev3.VirtualHost) bool {
			route := h.GetRoutes()[0].GetRoute()
			return route.GetTimeout().GetSeconds() == 40 && len(route.GetRequestMirrorPolicies()) == 1 &&
				route.GetRetryPolicy().GetNumRetries().GetValue() == 4
		})
	}) {
		t.Errorf("no route of a caller matches the VirtualService: %v", routes)
	}

	// The sidecar of the legacy service.
	want := before.Listeners(sidecarOf(before, "legacy", "127.0.0.1"))
	got := after.Listeners(sidecarOf(after, "legacy", "127.0.0.1"))
	connectionManagers := 0
	for _, listener := range got {
		listener.PerConnectionBufferLimitBytes = nil // weft's; TestIstio checks it
		for _, chain := range listener.GetFilterChains() {
			if removeWeft(t, chain) {
				connectionManagers++
			}
		}
	}
	for _, listener := range want {
		listener.PerConnectionBufferLimitBytes = nil
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("the other listeners of the legacy service (-without weft +with weft):\n%s", diff)
	}
	if connectionManagers == 0 {
		t.Error("weft is in no connection manager")
	}
}

// removeWeft removes weft's parts from the connection manager of a chain. It compares weft's routes with Istio's, and
// reports whether there were any.
func removeWeft(t *testing.T, chain *listenerv3.FilterChain) (found bool) {
	t.Helper()
	for _, filter := range chain.GetFilters() {
		var manager hcmv3.HttpConnectionManager
		if filter.GetTypedConfig().UnmarshalTo(&manager) != nil {
			continue
		}
		names := []string{}
		manager.HttpFilters = slices.DeleteFunc(manager.GetHttpFilters(), func(f *hcmv3.HttpFilter) bool {
			names = append(names, f.GetName())
			return f.GetName() == "envoy.filters.http.ext_proc" || f.GetName() == "envoy.filters.http.lua"
		})
		if len(manager.GetHttpFilters()) == len(names) {
			continue
		}
		found = true
		if n := len(names); names[n-1] != "envoy.filters.http.router" || names[n-2] != "envoy.filters.http.ext_proc" ||
			names[n-3] != "envoy.filters.http.lua" {
			t.Errorf("weft is not directly before the router, after all policies: %s", names)
		}
		manager.LocalReplyConfig = nil
		for _, host := range manager.GetRouteConfig().GetVirtualHosts() {
			host.RequestHeadersToRemove, host.ResponseHeadersToRemove = nil, nil
			standard := host.GetRoutes()[len(host.GetRoutes())-1]
			if standard.GetName() != "default" || len(host.GetRoutes()) < 3 {
				t.Fatalf("routes: %v", host.GetRoutes())
			}
			// The effective route of a rule has the timeouts and retries of Istio's route: none, unless a client's
			// VirtualService sets them. Without a setting, the timeout would be 15 s.
			for _, route := range host.GetRoutes()[:len(host.GetRoutes())-1] {
				action := route.GetRoute()
				action.RegexRewrite = nil
				if diff := cmp.Diff(standard.GetRoute(), action, protocmp.Transform()); diff != "" {
					t.Errorf("route %s (-Istio's +weft's):\n%s", route.GetName(), diff)
				}
			}
			host.Routes = []*routev3.Route{standard}
		}
		if err := filter.GetTypedConfig().MarshalFrom(&manager); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// TestPolicies: a request without a token is rejected, with and without weft's EnvoyFilter. With a token, the response
// is a composite while the EnvoyFilter exists.
func TestPolicies(t *testing.T) {
	s := k8s.NewSystem(t)
	s.StartWeft(k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "sidecar"))["legacy"]))
	issuer, other := k8s.NewIssuer(t), k8s.NewIssuer(t)
	istiod, address := startIstiod(t, authentication(issuer))
	envoy := startProxy(t, address)
	redirect(t)

	const url = "http://127.0.0.1:8080/api/v1/users/7"
	expectRejections := func() {
		t.Helper()
		k8s.Expect(t, url, 403, "", "RBAC: access denied")
		k8s.Expect(t, url, 401, "", "Jwt verification fails", "Authorization", other.Bearer("alice"))
		k8s.Expect(t, url, 403, "", "RBAC: access denied", "Authorization", issuer.Bearer("mallory"))
	}
	expectRejections()
	k8s.Expect(t, url, 200, "composed", harness.NewUser(7).Composite(), "Authorization", issuer.Bearer("alice"))
	if err := istiod.Store().Delete(gvk.EnvoyFilter, "weft", "shop", nil); err != nil {
		t.Fatal(err)
	}
	s.AwaitRollback(envoy.Process, "http://127.0.0.1:8080", "Authorization", issuer.Bearer("alice"))
	expectRejections()
}

// TestWaypoint: a waypoint ignores weft's EnvoyFilter, which selects pods. If the EnvoyFilter targeted the waypoint,
// its routes would reference a cluster that only sidecars have. Therefore the pods of the legacy service need a
// sidecar.
func TestWaypoint(t *testing.T) {
	const ambient = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec:
  gatewayClassName: waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
status: {addresses: [{type: Hostname, value: waypoint.shop.svc.cluster.local}]}
---
apiVersion: v1
kind: Service
metadata:
  name: waypoint
  namespace: shop
  labels:
    gateway.istio.io/managed: istio.io-mesh-controller
    gateway.networking.k8s.io/gateway-name: waypoint
    istio.io/gateway-name: waypoint
spec:
  clusterIP: 3.0.0.0
  ports: [{appProtocol: hbone, name: mesh, port: 15008}]
  selector: {gateway.networking.k8s.io/gateway-name: waypoint}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: waypoint-a, namespace: shop}
spec: {address: 3.0.0.1, labels: {gateway.networking.k8s.io/gateway-name: waypoint}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: legacy, namespace: shop, labels: {istio.io/use-waypoint: waypoint}}
spec:
  hosts: [legacy.example]
  addresses: [1.2.3.4]
  ports: [{number: 8080, name: http, protocol: HTTP}]
  resolution: STATIC
  workloadSelector: {labels: {app: legacy}}
`
	test.SetForTest(t, &features.EnableAmbient, true)
	test.SetForTest(t, &features.EnableAmbientWaypoints, true)
	configs, _ := objects(t)
	filter, _, _ := strings.Cut(configs, "\n---\n")
	target := strings.Replace(filter, "  workloadSelector:\n    labels:\n      app: legacy",
		"  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: waypoint}]", 1)
	if target == filter {
		t.Fatalf("no selector in:\n%s", filter)
	}
	for _, tt := range []struct{ name, filter, missing string }{
		{"selector", filter, ""}, {"target", target, "inbound|8080||"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			istiod := xds.NewFakeDiscoveryServer(t, xds.FakeOptions{
				ConfigString: ambient + "---\n" + tt.filter, KubernetesObjectString: ambient,
			})
			waypoint := istiod.SetupProxy(&model.Proxy{
				Type: model.Waypoint, ConfigNamespace: "shop", IPAddresses: []string{"3.0.0.1"},
				Labels: map[string]string{
					"gateway.networking.k8s.io/gateway-name": "waypoint",
					"gateway.istio.io/managed":               "istio.io-mesh-controller",
				},
			})
			var clusters []string
			for _, c := range istiod.Clusters(waypoint) {
				clusters = append(clusters, c.GetName())
			}
			if !slices.Contains(clusters, "inbound-vip|8080|http|legacy.example") {
				t.Fatalf("the waypoint does not belong to the legacy service: %s", clusters)
			}
			missing := ""
			for _, l := range istiod.Listeners(waypoint) {
				for _, manager := range connectionManagers(l) {
					for _, f := range manager.GetHttpFilters() {
						if f.GetName() == "envoy.filters.http.ext_proc" {
							t.Errorf("weft is in the listener %s", l.GetName())
						}
					}
					for _, h := range manager.GetRouteConfig().GetVirtualHosts() {
						for _, r := range h.GetRoutes() {
							if c := r.GetRoute().GetCluster(); !slices.Contains(clusters, c) {
								missing = c
							}
						}
					}
				}
			}
			if missing != tt.missing {
				t.Errorf("a route to the missing cluster %q, want %q", missing, tt.missing)
			}
		})
	}
}

// connectionManagers returns the connection managers in the filter chains of a listener.
func connectionManagers(l *listenerv3.Listener) (managers []*hcmv3.HttpConnectionManager) {
	for _, c := range l.GetFilterChains() {
		for _, f := range c.GetFilters() {
			manager := &hcmv3.HttpConnectionManager{}
			if f.GetTypedConfig().UnmarshalTo(manager) == nil {
				managers = append(managers, manager)
			}
		}
	}
	return managers
}
