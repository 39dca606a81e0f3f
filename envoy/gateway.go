package envoy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"weft/enrich"
	"weft/envoy/defaults"
	"weft/extproc"
)

// The objects are YAML mappings and not values of the Go types of the Gateway API and Envoy Gateway: those bring 112
// packages with them, with which the binary of weft would have 44.9 MB in place of 33.0. k8s/proof decodes the output
// strictly into these types.

// GatewayOptions identify the Gateway.
type GatewayOptions struct {
	Namespace string
	Gateway   string // name of the Gateway
}

const gatewayHead = `# Made by "weft envoy --format gateway", for Envoy Gateway 1.9: for each rule an HTTPRoute with its policies.
# If a policy has Lua, extensionApis.enableLua is required: without it, the route answers every request with 500.
# The other paths of the legacy service stay in your own HTTPRoute for them.
# What Envoy Gateway cannot express, and what follows:
#   - gRPC metadata: weft takes the message timeout from its rules file. If that has another one: weft serve --budget %s.
#   - forward_rules: weft gets all request headers, also cookies and credentials. It reads none of them.
#   - local_reply_config by path: if the legacy service breaks off in the middle of a body, the client gets Envoy's own
#     502 or 504, not the detail in JSON.
#   - prefixes in header removal: of a client's own x-weft headers only x-weft itself is removed.
#   - TLS with weft: make a BackendTLSPolicy for its Service, or start weft with --insecure.
#   - health checks of weft: the readiness probe of its pods takes them out.
#   - the size of Envoy's buffer belongs to the Gateway: set ClientTrafficPolicy connection.bufferLimit to %s at least.
`

const (
	gatewayAPI   = "gateway.networking.k8s.io"
	envoyGateway = "gateway.envoyproxy.io"
)

// Gateway returns the objects for Envoy Gateway, as YAML documents.
func Gateway(c Config, o GatewayOptions) ([]byte, error) {
	c = c.withDefaults()
	legacy, err := backendRef("legacy", c.Legacy)
	if err != nil {
		return nil, err
	}
	if c.TLS != (TLS{}) {
		return nil, errors.New("--format gateway does not support --weft-tls-…: " +
			"Envoy Gateway uses TLS to a Service if a BackendTLSPolicy of yours names it")
	}
	weft, err := backendRef("weft", c.Weft)
	if err != nil {
		return nil, err
	}
	out := fmt.Appendf(nil, gatewayHead, defaults.Budget(c.MessageTimeout), fmt.Sprintf("%dKi", bufferLimit(c)>>10+1))
	for _, r := range c.Rules {
		g := gatewayRule{Config: c, GatewayOptions: o, rule: r, name: "weft-" + r.Name, legacy: legacy, weft: weft}
		for _, object := range g.objects() {
			text, err := marshalYAML(object)
			if err != nil {
				return nil, err
			}
			out = append(append(out, "---\n"...), text...)
		}
	}
	return out, nil
}

// backendRef refers to a Service.
func backendRef(flag, address string) (yaml.MapSlice, error) {
	host, port, ok := strings.Cut(address, ":")
	n, err := strconv.ParseUint(port, 10, 16)
	if !ok || host == "" || err != nil {
		return nil, fmt.Errorf("--%s %q: want name:port of a Service, as in %s:8080", flag, address, flag)
	}
	return mapping("name", host, "port", n), nil
}

// gatewayRule makes the objects of one rule.
type gatewayRule struct {
	Config
	GatewayOptions
	rule         *enrich.Rule
	name         string        // of the objects
	legacy, weft yaml.MapSlice // backendRefs
}

func (g gatewayRule) objects() []yaml.MapSlice {
	var objects []yaml.MapSlice
	remove := []string{enrich.OutcomeHeader}
	if hasFallback(g.rule) {
		remove = append(remove, extproc.IfNoneMatchHeader)
	}
	filters := []yaml.MapSlice{mapping("type", "RequestHeaderModifier",
		"requestHeaderModifier", mapping("remove", remove))}
	var others []yaml.MapSlice // see otherRoute
	if w := rewrite(g.rule); w != nil {
		filter := mapping("type", "ExtensionRef",
			"extensionRef", mapping("group", envoyGateway, "kind", "HTTPRouteFilter", "name", g.name))
		objects = append(objects, g.object(envoyGateway+"/v1alpha1", "HTTPRouteFilter", g.name,
			mapping("urlRewrite", mapping("path", mapping("type", "ReplaceRegexMatch", "replaceRegexMatch",
				mapping("pattern", w.GetPattern().GetRegex(), "substitution", w.GetSubstitution()))))))
		filters = append(filters, filter)
		path := mapping("type", "RegularExpression", "value", loosePattern(g.rule.Path))
		others = append(others, g.httpRoute(g.name+"-other", mapping(
			"matches", []yaml.MapSlice{mapping("path", path)},
			"filters", []yaml.MapSlice{filter},
		)))
	}
	objects = append(objects, g.httpRoute(g.name, mapping(
		"matches", g.matches(),
		"filters", filters,
		"timeouts", mapping("request", g.RouteTimeout.String()),
	)))
	objects = append(append(objects, others...), g.policy("EnvoyExtensionPolicy", g.extensions()))
	if *g.Retries > 0 && g.rule.ReadsOnly() { // see retryPolicy
		objects = append(objects, g.policy("BackendTrafficPolicy", mapping("retry", mapping(
			"numRetries", *g.Retries,
			"retryOn", mapping("triggers", []string{"5xx", "reset", "connect-failure"}),
		))))
	}
	return objects
}

func (g gatewayRule) object(version, kind, name string, spec yaml.MapSlice) yaml.MapSlice {
	return mapping("apiVersion", version, "kind", kind,
		"metadata", mapping("name", name, "namespace", g.Namespace), "spec", spec)
}

// httpRoute returns an HTTPRoute with one rule, to the legacy service.
func (g gatewayRule) httpRoute(name string, rule yaml.MapSlice) yaml.MapSlice {
	spec := mapping("parentRefs", []yaml.MapSlice{mapping("name", g.Gateway)})
	if g.rule.Host != "" {
		spec = append(spec, mapping("hostnames", []string{g.rule.Host})...)
	}
	rule = append(rule, mapping("backendRefs", []yaml.MapSlice{g.legacy})...)
	return g.object(gatewayAPI+"/v1", "HTTPRoute", name, append(spec, mapping("rules", []yaml.MapSlice{rule})...))
}

// policy returns a policy for the HTTPRoute of the rule. The route of otherRoute has none.
func (g gatewayRule) policy(kind string, spec yaml.MapSlice) yaml.MapSlice {
	target := mapping("group", gatewayAPI, "kind", "HTTPRoute", "name", g.name)
	return g.object(envoyGateway+"/v1alpha1", kind, g.name,
		append(mapping("targetRefs", []yaml.MapSlice{target}), spec...))
}

// extensions returns the fallback and ext_proc filters, as parts of an EnvoyExtensionPolicy.
func (g gatewayRule) extensions() yaml.MapSlice {
	var policy yaml.MapSlice
	if hasFallback(g.rule) {
		policy = mapping("lua", []yaml.MapSlice{mapping(
			"type", "Inline",
			"inline", fallbackScript([]*enrich.Rule{g.rule}),
			"filterContext", mapping("rule", g.rule.Name),
		)})
	}
	return append(policy, mapping("extProc", []yaml.MapSlice{mapping(
		"backendRefs", []yaml.MapSlice{g.weft},
		"messageTimeout", g.MessageTimeout.String(),
		"failOpen", true,
		"processingMode", mapping(
			"request", mapping(),
			"response", mapping("attributes", extproc.Attributes()),
			"allowModeOverride", true,
		),
		"metadata", mapping(
			"accessibleNamespaces", []string{extproc.JWTMetadata},
			"writableNamespaces", []string{extproc.MetadataNamespace},
		),
	)})...)
}

// matches returns a match for each method: a match of an HTTPRoute has no more than one.
func (g gatewayRule) matches() []yaml.MapSlice {
	path := mapping("type", "Exact", "value", g.rule.Path.String())
	if len(g.rule.Path.Params()) > 0 {
		path = mapping("type", "RegularExpression", "value", exactPattern(g.rule.Path))
	}
	var query []yaml.MapSlice
	for _, q := range g.rule.Query {
		m := mapping("name", q.Name, "value", q.Fixed)
		if q.Type != 0 {
			m = mapping("type", "RegularExpression", "name", q.Name, "value", ".*")
		}
		query = append(query, m)
	}
	var matches []yaml.MapSlice
	for _, method := range methods(g.rule) {
		m := mapping("path", path, "method", method)
		if query != nil {
			m = append(m, mapping("queryParams", query)...)
		}
		matches = append(matches, m)
	}
	return matches
}
