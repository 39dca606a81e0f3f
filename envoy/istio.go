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
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
)

// IstioOptions identify the sidecar.
type IstioOptions struct {
	Namespace string
	Selector  string // label=value of the legacy service's pods
	Port      int    // of its container
}

const istioHead = `# Made by "weft envoy --format istio": weft in the inbound listener of the legacy service's sidecar (Istio).
# weft runs in the same pod and shares its socket on an emptyDir.
# Timeouts and retries belong to the callers' sidecars (VirtualService): an answer that takes longer than their timeout
# is lost to them. The access log and traces belong to Telemetry.
`

// Istio returns an EnvoyFilter for the inbound sidecar of the legacy service, as YAML.
func Istio(c Config, o IstioOptions) ([]byte, error) {
	c = c.withDefaults()
	label, value, ok := strings.Cut(o.Selector, "=")
	if !ok || label == "" || value == "" {
		return nil, fmt.Errorf("selector %q: want label=value, as in app=users", o.Selector)
	}
	if o.Port < 1 || o.Port > 65535 {
		return nil, fmt.Errorf("port %d: want a number from 1 to 65535", o.Port)
	}
	weft, err := weftCluster(c)
	if err != nil {
		return nil, err
	}
	c.legacyCluster = fmt.Sprintf("inbound|%d||", o.Port)

	match := func(pairs ...any) yaml.MapSlice {
		return append(mapping("context", "SIDECAR_INBOUND"), mapping(pairs...)...)
	}
	filterMatch := func(pairs ...any) yaml.MapSlice {
		filter := append(mapping("name", connectionManagerName), mapping(pairs...)...)
		return match("listener", mapping("portNumber", o.Port, "filterChain", mapping("filter", filter)))
	}
	manager := filterMatch()
	beforeRouter := filterMatch("subFilter", mapping("name", "envoy.filters.http.router"))
	virtualHost := match("routeConfiguration", mapping(
		"portNumber", o.Port, "vhost", mapping("name", fmt.Sprintf("inbound|http|%d", o.Port))))
	// All inbound ports share this listener. A match by port would compare the listener's own port, 15006.
	listener := match("listener", mapping("name", "virtualInbound"))

	p := &patches{}
	p.add("CLUSTER", match(), "ADD", weft)
	p.add("NETWORK_FILTER", manager, "MERGE",
		connectionManagerFilter(&hcmv3.HttpConnectionManager{LocalReplyConfig: localReplies(c)}))
	p.add("LISTENER", listener, "MERGE",
		&listenerv3.Listener{PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit(c))})
	for _, f := range append(fallbackFilters(c.Rules), extProcFilter(c)) {
		p.add("HTTP_FILTER", beforeRouter, "INSERT_BEFORE", f)
	}
	p.add("VIRTUAL_HOST", virtualHost, "MERGE", &routev3.VirtualHost{
		RequestHeadersToRemove: []string{enrich.OutcomeHeader}, ResponseHeadersToRemove: []string{enrich.OutcomeHeader},
	})
	// Each route is inserted before all others, so the last patch, of the first rule, is the first route.
	for _, r := range c.Rules {
		if !r.LegacyPath.IsZero() {
			p.add("HTTP_ROUTE", virtualHost, "INSERT_FIRST", withHost(r, otherRoute(c, r)))
		}
	}
	for _, r := range slices.Backward(c.Rules) {
		route := ruleRoute(c, r)
		route.GetRoute().Timeout, route.GetRoute().RetryPolicy = nil, nil
		p.add("HTTP_ROUTE", virtualHost, "INSERT_FIRST", withHost(r, route))
	}
	if p.err != nil {
		return nil, p.err
	}
	text, err := marshalYAML(mapping(
		"apiVersion", "networking.istio.io/v1alpha3",
		"kind", "EnvoyFilter",
		"metadata", mapping("name", "weft", "namespace", o.Namespace),
		"spec", mapping("workloadSelector", mapping("labels", mapping(label, value)), "configPatches", p.list),
	))
	return append([]byte(istioHead), text...), err
}

// withHost limits a route to the host of its rule: the inbound routes of a sidecar have one virtual host for all.
func withHost(r *enrich.Rule, route *routev3.Route) *routev3.Route {
	if r.Host == "" {
		return route
	}
	host := regexp.QuoteMeta(r.Host)
	if suffix, ok := strings.CutPrefix(r.Host, "*"); ok {
		host = ".+" + regexp.QuoteMeta(suffix)
	}
	isHost := header(":authority", regex("(?i)"+host+`(:([^:]*[^:\]])?)?`))
	route.Match.Headers = append(route.Match.Headers, isHost)
	return route
}

// patches are the configPatches of an EnvoyFilter, up to the first error.
type patches struct {
	list []yaml.MapSlice
	err  error
}

func (p *patches) add(applyTo string, match yaml.MapSlice, operation string, m interface {
	proto.Message
	ValidateAll() error
},
) {
	if p.err != nil {
		return
	}
	// A message to merge is only a part, in which required fields may be missing.
	if operation != "MERGE" {
		if p.err = m.ValidateAll(); p.err != nil {
			return
		}
	}
	value, err := messageMap(m)
	p.err = err
	p.list = append(p.list, mapping(
		"applyTo", applyTo, "match", match, "patch", mapping("operation", operation, "value", value)))
}
