package envoy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
)

// IstioOptions say where the sidecar is.
type IstioOptions struct {
	Namespace string
	Selector  string // label=value of the legacy service's pods
	Port      int    // of its container
}

const istioHead = `# Made by "weft envoy --format istio": weft in the inbound listener of the legacy service's own sidecar (Istio).
# weft runs in the same pod and shares its socket on an emptyDir.
# Of the whole configuration this leaves out: timeouts and retries, which are of the callers' sidecars (VirtualService), so
# that an answer that takes longer than theirs is lost to them; and the access log and traces, which are of Telemetry.
# Composites while weft is down need the x-envoy-upstream-service-time that Istio has by default (proxyHeaders.envoyDebugHeaders).
`

// Istio returns an EnvoyFilter for the inbound sidecar of the legacy service, as YAML.
func Istio(c Config, o IstioOptions) ([]byte, error) {
	c = c.ready()
	label, value, ok := strings.Cut(o.Selector, "=")
	if !ok || label == "" || value == "" {
		return nil, fmt.Errorf("selector %q: want label=value, as in app=users", o.Selector)
	}
	if o.Port < 1 || o.Port > 65535 {
		return nil, fmt.Errorf("port %d: want one from 1 to 65535", o.Port)
	}
	weft, err := c.clusterOfWeft()
	if err != nil {
		return nil, err
	}
	c.legacyCluster = fmt.Sprintf("inbound|%d||", o.Port)
	chain := yaml.MapSlice{{Key: "filter", Value: yaml.MapSlice{{Key: "name", Value: "envoy.filters.network.http_connection_manager"}}}}
	listener := func(chain yaml.MapSlice) yaml.MapSlice {
		return yaml.MapSlice{
			{Key: "context", Value: "SIDECAR_INBOUND"},
			{Key: "listener", Value: yaml.MapSlice{{Key: "portNumber", Value: o.Port}, {Key: "filterChain", Value: chain}}},
		}
	}
	beforeRouter := listener(yaml.MapSlice{{Key: "filter", Value: yaml.MapSlice{
		{Key: "name", Value: "envoy.filters.network.http_connection_manager"},
		{Key: "subFilter", Value: yaml.MapSlice{{Key: "name", Value: "envoy.filters.http.router"}}},
	}}})
	vhost := func(route string) yaml.MapSlice {
		v := yaml.MapSlice{{Key: "name", Value: fmt.Sprintf("inbound|http|%d", o.Port)}}
		if route != "" {
			v = append(v, yaml.MapItem{Key: "route", Value: yaml.MapSlice{{Key: "name", Value: route}}})
		}
		return yaml.MapSlice{
			{Key: "context", Value: "SIDECAR_INBOUND"},
			{Key: "routeConfiguration", Value: yaml.MapSlice{{Key: "portNumber", Value: o.Port}, {Key: "vhost", Value: v}}},
		}
	}

	p := &patches{}
	p.add("CLUSTER", yaml.MapSlice{{Key: "context", Value: "SIDECAR_INBOUND"}}, "ADD", weft)
	p.add("NETWORK_FILTER", listener(chain), "MERGE", &listenerv3.Filter{
		Name: "envoy.filters.network.http_connection_manager",
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(&hcmv3.HttpConnectionManager{
			LocalReplyConfig: localReplies(c),
		})},
	})
	// All inbound ports share this listener. A match by port would look at its own port, 15006, and find none.
	inbound := yaml.MapSlice{{Key: "context", Value: "SIDECAR_INBOUND"}, {Key: "listener", Value: yaml.MapSlice{{Key: "name", Value: "virtualInbound"}}}}
	p.add("LISTENER", inbound, "MERGE", &listenerv3.Listener{PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit(c))})
	for _, f := range append(fallbackFilters(c), extProcFilter(c)) {
		p.add("HTTP_FILTER", beforeRouter, "INSERT_BEFORE", f)
	}
	p.add("VIRTUAL_HOST", vhost(""), "MERGE", &routev3.VirtualHost{RequestHeadersToRemove: stripped(), ResponseHeadersToRemove: stripped()})
	// Each goes to the front, so that the first rule is the first route when all are there.
	for _, r := range c.Rules {
		if !r.LegacyPath.IsZero() {
			p.add("HTTP_ROUTE", vhost(""), "INSERT_FIRST", ofHost(r, rewriteRoute(c, r)))
		}
	}
	for i := len(c.Rules) - 1; i >= 0; i-- {
		routes := ruleRoutes(c, c.Rules[i])
		for _, route := range slices.Backward(routes) {
			action := route.GetRoute()
			action.Timeout, action.RetryPolicy = nil, nil
			p.add("HTTP_ROUTE", vhost(""), "INSERT_FIRST", ofHost(c.Rules[i], route))
		}
	}
	if p.err != nil {
		return nil, p.err
	}
	text, err := yaml.MarshalWithOptions(yaml.MapSlice{
		{Key: "apiVersion", Value: "networking.istio.io/v1alpha3"},
		{Key: "kind", Value: "EnvoyFilter"},
		{Key: "metadata", Value: yaml.MapSlice{{Key: "name", Value: "weft"}, {Key: "namespace", Value: o.Namespace}}},
		{Key: "spec", Value: yaml.MapSlice{
			{Key: "workloadSelector", Value: yaml.MapSlice{{Key: "labels", Value: yaml.MapSlice{{Key: label, Value: value}}}}},
			{Key: "configPatches", Value: p.list},
		}},
	}, yaml.IndentSequence(true))
	return append([]byte(istioHead), text...), err
}

// ofHost limits a route to the host of its rule: a sidecar's inbound routes have one virtual host for all.
func ofHost(r *enrich.Rule, route *routev3.Route) *routev3.Route {
	if r.Host == "" {
		return route
	}
	host := regexp.QuoteMeta(r.Host)
	if suffix, ok := strings.CutPrefix(r.Host, "*"); ok {
		host = ".+" + regexp.QuoteMeta(suffix)
	}
	route.Match.Headers = append(route.Match.Headers, header(":authority", regex("(?i)"+host+`(:([^:]*[^:\]])?)?`)))
	return route
}

// patches are the configPatches of an EnvoyFilter.
type patches struct {
	list []yaml.MapSlice
	err  error
}

// message is one of Envoy's messages, which can be validated.
type message interface {
	proto.Message
	ValidateAll() error
}

func (p *patches) add(applyTo string, match yaml.MapSlice, operation string, m message) {
	if p.err != nil {
		return
	}
	// What is merged is a part of a message, in which required fields may be missing.
	if operation != "MERGE" {
		if p.err = m.ValidateAll(); p.err != nil {
			return
		}
	}
	value, err := ordered(m)
	p.err = err
	p.list = append(p.list, yaml.MapSlice{
		{Key: "applyTo", Value: applyTo},
		{Key: "match", Value: match},
		{Key: "patch", Value: yaml.MapSlice{{Key: "operation", Value: operation}, {Key: "value", Value: value}}},
	})
}

// ordered returns a message as a mapping of YAML, in the order of its definition.
func ordered(m proto.Message) (yaml.MapSlice, error) {
	json, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var fields yaml.MapSlice // YAML is a superset of JSON
	err = yaml.UnmarshalWithOptions(json, &fields, yaml.UseOrderedMap())
	return fields, err
}
