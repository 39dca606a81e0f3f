package envoy

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"weft/enrich"
	"weft/extproc"
)

// GatewayOptions say where Envoy Gateway is.
type GatewayOptions struct {
	Namespace string
	Gateway   string // name of the Gateway
}

const gatewayHead = `# Made by "weft envoy --format gateway": for each rule an HTTPRoute, its EnvoyExtensionPolicy and its BackendTrafficPolicy
# (Envoy Gateway 1.9, with extensionApis.enableLua where a policy has Lua: without it such a route answers nothing but 500). All other paths of the legacy service stay in the HTTPRoute that you have for them.
# What Envoy Gateway cannot express, and what comes of it:
#   - gRPC metadata: weft is not told how long Envoy waits. Start it with --budget %s.
#   - forward_rules: all request headers go to weft, cookies and credentials too. weft reads none of them.
#   - local_reply_config by path: when the legacy service breaks off in the middle of a body, the client gets Envoy's own 502 or
#     504, not the detail in JSON.
#   - prefixes in header removal: of a client's own x-weft headers only x-weft itself is removed.
#   - TLS with weft: make a BackendTLSPolicy for its Service; without one, weft is to be started with --insecure.
#   - health checks of weft: its pods' readiness probe is what takes them out.
#   - the size of Envoy's buffer is of the Gateway: set ClientTrafficPolicy connection.bufferLimit to %s at least.
`

// Gateway returns the objects for Envoy Gateway, as YAML documents.
func Gateway(c Config, o GatewayOptions) ([]byte, error) {
	c = c.ready()
	legacy, err := backend("legacy", c.Legacy)
	if err != nil {
		return nil, err
	}
	if c.TLS != (TLS{}) {
		return nil, errors.New("--format gateway does not take --weft-tls-…: Envoy Gateway speaks TLS to a Service that a BackendTLSPolicy of yours names")
	}
	weft, err := backend("weft", c.Weft)
	if err != nil {
		return nil, err
	}
	out := fmt.Appendf(nil, gatewayHead, c.budget(), strconv.Itoa(int(bufferLimit(c))>>10+1)+"Ki")
	for _, r := range c.Rules {
		for _, object := range gatewayObjects(c, r, o, legacy, weft) {
			text, err := yaml.MarshalWithOptions(object, yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true))
			if err != nil {
				return nil, err
			}
			out = append(append(out, "---\n"...), text...)
		}
	}
	return out, nil
}

// backend is a reference to a Service.
func backend(what, address string) (yaml.MapSlice, error) {
	host, port, ok := strings.Cut(address, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || host == "" || err != nil {
		return nil, fmt.Errorf("--%s %q: Envoy Gateway needs name:port of a Service, as in %s:8080", what, address, what)
	}
	return yaml.MapSlice{{Key: "name", Value: host}, {Key: "port", Value: n}}, nil
}

func gatewayObjects(c Config, r *enrich.Rule, o GatewayOptions, legacy, weft yaml.MapSlice) []yaml.MapSlice {
	name := "weft-" + r.Name
	meta := yaml.MapItem{Key: "metadata", Value: yaml.MapSlice{{Key: "name", Value: name}, {Key: "namespace", Value: o.Namespace}}}
	object := func(version, kind string, spec yaml.MapSlice) yaml.MapSlice {
		return yaml.MapSlice{{Key: "apiVersion", Value: version}, {Key: "kind", Value: kind}, meta, {Key: "spec", Value: spec}}
	}
	target := yaml.MapItem{Key: "targetRefs", Value: []yaml.MapSlice{{
		{Key: "group", Value: "gateway.networking.k8s.io"}, {Key: "kind", Value: "HTTPRoute"}, {Key: "name", Value: name},
	}}}

	change := requestChange(r)
	modifier := yaml.MapSlice{{Key: "remove", Value: append(stripped(), change.Remove...)}}
	if change.Set != nil {
		var set []yaml.MapSlice
		for _, h := range change.Set {
			set = append(set, yaml.MapSlice{{Key: "name", Value: h.Name}, {Key: "value", Value: h.Value}})
		}
		modifier = append(yaml.MapSlice{{Key: "set", Value: set}}, modifier...)
	}
	filters := []yaml.MapSlice{
		{{Key: "type", Value: "RequestHeaderModifier"}, {Key: "requestHeaderModifier", Value: modifier}},
	}
	var objects []yaml.MapSlice
	if w := rewrite(r); w != nil {
		filters = append(filters, yaml.MapSlice{
			{Key: "type", Value: "ExtensionRef"},
			{Key: "extensionRef", Value: yaml.MapSlice{
				{Key: "group", Value: "gateway.envoyproxy.io"}, {Key: "kind", Value: "HTTPRouteFilter"}, {Key: "name", Value: name},
			}},
		})
		objects = append(objects, object("gateway.envoyproxy.io/v1alpha1", "HTTPRouteFilter", yaml.MapSlice{
			{Key: "urlRewrite", Value: yaml.MapSlice{{Key: "path", Value: yaml.MapSlice{
				{Key: "type", Value: "ReplaceRegexMatch"},
				{Key: "replaceRegexMatch", Value: yaml.MapSlice{
					{Key: "pattern", Value: w.GetPattern().GetRegex()}, {Key: "substitution", Value: w.GetSubstitution()},
				}},
			}}}},
		}))
	}
	route := yaml.MapSlice{{Key: "parentRefs", Value: []yaml.MapSlice{{{Key: "name", Value: o.Gateway}}}}}
	if r.Host != "" {
		route = append(route, yaml.MapItem{Key: "hostnames", Value: []string{r.Host}})
	}
	route = append(route, yaml.MapItem{Key: "rules", Value: []yaml.MapSlice{{
		{Key: "matches", Value: gatewayMatches(r)},
		{Key: "filters", Value: filters},
		{Key: "timeouts", Value: yaml.MapSlice{{Key: "request", Value: c.RouteTimeout.String()}}},
		{Key: "backendRefs", Value: []yaml.MapSlice{legacy}},
	}}})
	objects = append(objects, object("gateway.networking.k8s.io/v1", "HTTPRoute", route))
	if !r.LegacyPath.IsZero() {
		objects = append(objects, otherRoute(r, o, route, legacy, filters[len(filters)-1]))
	}

	policy := yaml.MapSlice{target}
	if keepsShape(r) {
		policy = append(policy, yaml.MapItem{Key: "lua", Value: []yaml.MapSlice{{
			{Key: "type", Value: "Inline"},
			{Key: "inline", Value: fallbackScript([]*enrich.Rule{r}, fallbackRequestCode+fallbackCode)},
			{Key: "filterContext", Value: yaml.MapSlice{{Key: "rule", Value: r.Name}}},
		}}})
	}
	policy = append(policy, yaml.MapItem{Key: "extProc", Value: []yaml.MapSlice{{
		{Key: "backendRefs", Value: []yaml.MapSlice{weft}},
		{Key: "messageTimeout", Value: c.MessageTimeout.String()},
		{Key: "failOpen", Value: true},
		{Key: "processingMode", Value: yaml.MapSlice{
			{Key: "request", Value: yaml.MapSlice{}},
			{Key: "response", Value: yaml.MapSlice{{Key: "attributes", Value: extproc.Attributes()}}},
			{Key: "allowModeOverride", Value: true},
		}},
		{Key: "metadata", Value: yaml.MapSlice{
			{Key: "accessibleNamespaces", Value: []string{extproc.JWTMetadata}},
			{Key: "writableNamespaces", Value: []string{extproc.MetadataNamespace}},
		}},
	}}})
	objects = append(objects, object("gateway.envoyproxy.io/v1alpha1", "EnvoyExtensionPolicy", policy))

	// Nobody knows what a second POST would do.
	if retries := c.retries(); retries > 0 && slices.Equal(r.Methods, []string{"GET"}) {
		objects = append(objects, object("gateway.envoyproxy.io/v1alpha1", "BackendTrafficPolicy", yaml.MapSlice{target, {Key: "retry", Value: yaml.MapSlice{
			{Key: "numRetries", Value: retries},
			{Key: "retryOn", Value: yaml.MapSlice{{Key: "triggers", Value: []string{"5xx", "reset", "connect-failure"}}}},
		}}}))
	}
	return objects
}

// otherRoute is as rewriteRoute. None of weft's policies is for it.
func otherRoute(r *enrich.Rule, o GatewayOptions, route, legacy, rewrite yaml.MapSlice) yaml.MapSlice {
	spec := append(slices.Clone(route[:len(route)-1]), yaml.MapItem{Key: "rules", Value: []yaml.MapSlice{{
		{Key: "matches", Value: []yaml.MapSlice{{{Key: "path", Value: yaml.MapSlice{
			{Key: "type", Value: "RegularExpression"}, {Key: "value", Value: loosePattern(r.Path)},
		}}}}},
		{Key: "filters", Value: []yaml.MapSlice{rewrite}},
		{Key: "backendRefs", Value: []yaml.MapSlice{legacy}},
	}}})
	return yaml.MapSlice{
		{Key: "apiVersion", Value: "gateway.networking.k8s.io/v1"},
		{Key: "kind", Value: "HTTPRoute"},
		{Key: "metadata", Value: yaml.MapSlice{{Key: "name", Value: "weft-" + r.Name + "-other"}, {Key: "namespace", Value: o.Namespace}}},
		{Key: "spec", Value: spec},
	}
}

// gatewayMatches has a match for each method, HEAD included: an HTTPRoute names no two in one.
func gatewayMatches(r *enrich.Rule) []yaml.MapSlice {
	path := yaml.MapSlice{{Key: "type", Value: "Exact"}, {Key: "value", Value: r.Path.String()}}
	if len(r.Path.Params()) > 0 {
		path = yaml.MapSlice{{Key: "type", Value: "RegularExpression"}, {Key: "value", Value: exactPattern(r.Path)}}
	}
	var query []yaml.MapSlice
	for _, q := range r.Query {
		m := yaml.MapSlice{{Key: "name", Value: q.Name}, {Key: "value", Value: q.Fixed}}
		if q.Type != 0 {
			m = yaml.MapSlice{{Key: "type", Value: "RegularExpression"}, {Key: "name", Value: q.Name}, {Key: "value", Value: ".*"}}
		}
		query = append(query, m)
	}
	methods := r.Methods
	if slices.Contains(methods, "GET") {
		methods = append(slices.Clone(methods), "HEAD")
	}
	var matches []yaml.MapSlice
	for _, method := range methods {
		m := yaml.MapSlice{{Key: "path", Value: path}, {Key: "method", Value: method}}
		if query != nil {
			m = append(m, yaml.MapItem{Key: "queryParams", Value: query})
		}
		matches = append(matches, m)
	}
	return matches
}
