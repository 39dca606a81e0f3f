package envoy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
)

// IstioOptions identify the sidecar.
type IstioOptions struct {
	Namespace string
	Selector  string // label=value of the legacy service's pods
	Port      int    // of the container
}

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
	weft, weftErr := weftCluster(c)
	filters, filtersErr := filters(c)
	if err := cmp.Or(c.Module.validate(c.Rules), weftErr, filtersErr); err != nil {
		return nil, err
	}
	c.legacyCluster = fmt.Sprintf("inbound|%d||", o.Port)

	// Each patch inserts its route before all others, so the first rule is patched last.
	var routes []*routev3.Route
	for _, r := range c.Rules {
		if !r.LegacyPath.IsZero() {
			routes = append(routes, asInbound(withHost(r, otherRoute(c, r))))
		}
	}
	for _, r := range c.Rules {
		if r.Keeps() {
			routes = append(routes, asInbound(withHost(r, unsafeRoute(c, r))))
		}
	}
	for _, r := range slices.Backward(c.Rules) {
		routes = append(routes, asInbound(withHost(r, ruleRoute(c, r))))
	}
	return render("istio.yaml.tmpl", map[string]any{
		"Namespace":    o.Namespace,
		"Label":        label,
		"Value":        value,
		"Port":         o.Port,
		"Module":       c.Module,
		"Cluster":      weft,
		"LocalReplies": localReplies(c),
		"BufferLimit":  bufferLimit(c),
		"Filters":      filters,
		"Routes":       routes,
	})
}

// asInbound sets the timeouts and retries of Istio's inbound routes: a request ends when its client cancels it, and is
// retried only if the connection was reset before anything was sent on it.
func asInbound(route *routev3.Route) *routev3.Route {
	action := route.GetRoute()
	action.Timeout, action.IdleTimeout = &durationpb.Duration{}, nil
	action.MaxStreamDuration = &routev3.RouteAction_MaxStreamDuration{
		MaxStreamDuration: &durationpb.Duration{}, GrpcTimeoutHeaderMax: &durationpb.Duration{},
	}
	action.RetryPolicy = &routev3.RetryPolicy{RetryOn: "reset-before-request", NumRetries: wrapperspb.UInt32(2)}
	return route
}

// withHost limits a route to the host of its rule: the inbound routes of a sidecar share one virtual host.
func withHost(r *enrich.Rule, route *routev3.Route) *routev3.Route {
	if r.Host == "" {
		return route
	}
	isHost := header(":authority", regex(hostPattern(r.Host)+`(:([^:]*[^:\]])?)?`))
	route.Match.Headers = append(route.Match.Headers, isHost)
	return route
}
