// Package manifests tests that an API server, Envoy and Helm accept the manifests and the chart.
package manifests_test

import (
	"os"
	"strings"
	"testing"

	envoygateway "github.com/envoyproxy/gateway/api/v1alpha1"
	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	_ "weft/envoy" // registers its messages, which are decoded by name
	"weft/test/k8s"
)

// envoyFilter is the part of Istio's object with Envoy's configuration.
type envoyFilter struct {
	Spec struct {
		ConfigPatches []struct {
			ApplyTo string
			Patch   struct {
				Operation string
				Value     map[string]any
			}
		}
	}
}

// strictly decodes a message of Envoy and the messages packed in it. Unknown fields are errors; Istio only warns about
// them.
func strictly(t *testing.T, text []byte, m proto.Message) error {
	t.Helper()
	json, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	return protojson.Unmarshal(json, m)
}

// decode decodes the patches of an EnvoyFilter.
func decode(t *testing.T, manifest []byte) []proto.Message {
	t.Helper()
	var messages []proto.Message
	for _, o := range k8s.Objects(t, manifest) {
		if o.Kind != "EnvoyFilter" {
			continue
		}
		var filter envoyFilter
		if err := yaml.Unmarshal(o.YAML, &filter); err != nil {
			t.Fatal(err)
		}
		for i, p := range filter.Spec.ConfigPatches {
			m, known := map[string]proto.Message{
				"CLUSTER":        new(clusterv3.Cluster),
				"HTTP_FILTER":    new(hcmv3.HttpFilter),
				"HTTP_ROUTE":     new(routev3.Route),
				"LISTENER":       new(listenerv3.Listener),
				"NETWORK_FILTER": new(listenerv3.Filter),
				"VIRTUAL_HOST":   new(routev3.VirtualHost),
			}[p.ApplyTo]
			if !known {
				t.Fatalf("patch %d applies to %s", i, p.ApplyTo)
			}
			text, err := yaml.Marshal(p.Patch.Value)
			if err != nil {
				t.Fatal(err)
			}
			if err := strictly(t, text, m); err != nil {
				t.Errorf("patch %d, %s: %v", i, p.ApplyTo, err)
			}
			messages = append(messages, m)
		}
	}
	return messages
}

func TestEnvoyFilterStrictly(t *testing.T) {
	found := 0
	for _, m := range decode(t, k8s.Overlay(t, "sidecar")) {
		filter, ok := m.(*hcmv3.HttpFilter)
		if !ok || filter.GetTypedConfig().MessageIs(new(extprocv3.ExternalProcessor)) == false {
			continue
		}
		var config extprocv3.ExternalProcessor
		if err := filter.GetTypedConfig().UnmarshalTo(&config); err != nil {
			t.Fatal(err)
		}
		if err := config.ValidateAll(); err != nil {
			t.Error(err)
		}
		if !config.GetFailureModeAllow() || !config.GetAllowModeOverride() {
			t.Errorf("the filter does not fail open, or has no overrides: %v", &config)
		}
		found++
	}
	if found != 1 {
		t.Errorf("%d ext_proc filters", found)
	}
}

func TestBootstrapStrictly(t *testing.T) {
	for _, overlay := range []string{"standalone", "module"} {
		name := ""
		objects := k8s.Objects(t, k8s.Overlay(t, overlay))
		for _, o := range objects {
			if o.Kind == "ConfigMap" && strings.HasPrefix(o.Metadata.Name, "weft-envoy-") {
				name = o.Metadata.Name
			}
		}
		var config corev1.ConfigMap
		k8s.Find(t, objects, "ConfigMap", name, &config)
		var bootstrap bootstrapv3.Bootstrap
		if err := strictly(t, []byte(config.Data["envoy.yaml"]), &bootstrap); err != nil {
			t.Fatal(err)
		}
		if err := bootstrap.ValidateAll(); err != nil {
			t.Error(err)
		}
	}
}

// TestGatewayStrictly decodes the objects for Envoy Gateway into the types of Envoy Gateway and the Gateway API. weft
// generates them without these types: see envoy/gateway.go.
func TestGatewayStrictly(t *testing.T) {
	text, err := os.ReadFile(k8s.Path(t, "k8s", "overlays", "gateway", "routes.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, o := range k8s.Objects(t, text) {
		object, known := map[string]any{
			"HTTPRoute":            new(gatewayv1.HTTPRoute),
			"HTTPRouteFilter":      new(envoygateway.HTTPRouteFilter),
			"EnvoyExtensionPolicy": new(envoygateway.EnvoyExtensionPolicy),
			"BackendTrafficPolicy": new(envoygateway.BackendTrafficPolicy),
		}[o.Kind]
		if !known {
			t.Errorf("unexpected %s %s", o.Kind, o.Metadata.Name)
			continue
		}
		if err := yaml.UnmarshalStrict(o.YAML, object); err != nil {
			t.Errorf("%s %s: %v", o.Kind, o.Metadata.Name, err)
		}
		found[o.Kind]++
	}
	want := map[string]int{"HTTPRoute": 2, "HTTPRouteFilter": 1, "EnvoyExtensionPolicy": 2, "BackendTrafficPolicy": 1}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("objects (-want +got)\n%s", diff)
	}
	misspelled := strings.Replace(string(text), "failOpen:", "failsOpen:", 1)
	for _, o := range k8s.Objects(t, []byte(misspelled)) {
		if !strings.Contains(string(o.YAML), "failsOpen:") {
			continue
		}
		err := yaml.UnmarshalStrict(o.YAML, new(envoygateway.EnvoyExtensionPolicy))
		if err == nil || !strings.Contains(err.Error(), "failsOpen") {
			t.Errorf("a misspelled field: %v", err)
		}
	}
}

// TestMisspelled: a misspelled field is an error in a message and in a packed message.
func TestMisspelled(t *testing.T) {
	for _, text := range []string{
		"{name: x, typed_configs: {}}",
		`{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor,` +
			` failure_mode_allowed: true}}`,
	} {
		err := strictly(t, []byte(text), new(hcmv3.HttpFilter))
		if err == nil || !strings.Contains(err.Error(), "unknown field") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
