package envoy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
	"weft/extproc"
)

// routes sends everything to the legacy service. Only what falls under a rule goes through weft.
func routes(c Config) *routev3.RouteConfiguration {
	config := &routev3.RouteConfiguration{Name: "routes", IgnorePortInHostMatching: len(hosts(c.Rules)) > 1}
	for _, host := range hosts(c.Rules) {
		virtual := &routev3.VirtualHost{
			Name:    "legacy",
			Domains: []string{cmp.Or(host, "*")},
			// Only weft says what weft did. This takes effect after the request's filters, and before the response's. A filter that
			// would remove all that begins so, x-weft-foo, would cost a request without a rule two per cent: weft does that, where it is asked.
			RequestHeadersToRemove:  stripped(),
			ResponseHeadersToRemove: stripped(),
		}
		if host != "" {
			virtual.Name = "legacy for " + host
		}
		var all []route
		for _, r := range c.Rules {
			if serves(r.Host, host) {
				for _, each := range ruleRoutes(c, r) {
					all = append(all, route{each, r.Path.Literal()})
				}
			}
		}
		for _, r := range c.Rules {
			if serves(r.Host, host) && !r.LegacyPath.IsZero() {
				all = append(all, route{rewriteRoute(c, r), r.Path.Literal()})
			}
		}
		setRoutes(virtual, append(all, route{&routev3.Route{
			Name:   "other",
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: c.legacyCluster}}},
		}, "/"}))
		config.VirtualHosts = append(config.VirtualHosts, virtual)
	}
	return config
}

// stripped are the headers that only weft may set.
func stripped() []string { return []string{enrich.OutcomeHeader} }

// hosts returns the hosts of the rules, and at the end "" for all others.
func hosts(rules []*enrich.Rule) []string {
	var hosts []string
	for _, r := range rules {
		if r.Host != "" && !slices.Contains(hosts, r.Host) {
			hosts = append(hosts, r.Host)
		}
	}
	return append(hosts, "")
}

// serves reports whether a rule for a host is one for requests that Envoy has sorted under another.
func serves(rule, host string) bool {
	if rule == "" || rule == host {
		return true
	}
	suffix, isWildcard := strings.CutPrefix(rule, "*")
	return isWildcard && strings.HasSuffix(host, suffix)
}

// ruleRoutes are for the requests of a rule. Those that certainly are have a route of their own where that saves Envoy work: the
// Lua code does not look at them, and nothing is told to weft, for which Envoy would copy and hash the filter's gRPC service.
func ruleRoutes(c Config, r *enrich.Rule) []*routev3.Route {
	all := ruleRoute(c, r)
	rest := []*routev3.Route{all}
	if keepsShape(r) && !r.ReadsOnly() { // what guards a change stays, and a read has no conditions
		reads := ruleRoute(c, r)
		reads.Name += "-reads"
		reads.Match.Headers = []*routev3.HeaderMatcher{header(":method", regex("GET|HEAD"))}
		reads.RequestHeadersToRemove = enrich.LegacyRequest("GET").Remove
		rest = []*routev3.Route{reads, all}
	}
	if len(r.Query) > 0 || !keepsShape(r) && !rewrites(c.Rules) {
		return rest
	}
	all.Name += "-rest"

	certain := ruleRoute(c, r)
	if len(r.Path.Params()) > 0 {
		certain.Match.PathSpecifier = pathMatch(certainPattern(r.Path))
	}
	certain.TypedPerFilterConfig[filterName] = packed(weftOn(nil))
	if keepsShape(r) {
		certain.Match.Headers = []*routev3.HeaderMatcher{header(":method", exact("GET"))}
		certain.RequestHeadersToRemove = enrich.LegacyRequest("GET").Remove
		certain.TypedPerFilterConfig[fallbackName] = packed(fallbackOf(r, certainScript))
	}
	if !keepsShape(r) && certainPattern(r.Path) == exactPattern(r.Path) {
		return []*routev3.Route{certain} // nothing is left for the rest
	}
	return append([]*routev3.Route{certain}, rest...)
}

// rewrites reports whether a rule has another path at the legacy service.
func rewrites(rules []*enrich.Rule) bool {
	return slices.ContainsFunc(rules, func(r *enrich.Rule) bool { return !r.LegacyPath.IsZero() })
}

// weftOn has a route ask weft, and tell it some metadata.
func weftOn(metadata []*corev3.HeaderValue) *extprocv3.ExtProcPerRoute {
	return &extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{
		Overrides: &extprocv3.ExtProcOverrides{GrpcInitialMetadata: metadata},
	}}
}

// ruleRoute is for the requests of a rule, and for no others but those whose int64 is too large, whose string is . or .., or whose
// parameter in the query is none. weft's filters are disabled everywhere else: a route that has a configuration for them
// enables them.
func ruleRoute(c Config, r *enrich.Rule) *routev3.Route {
	var metadata []*corev3.HeaderValue
	if rewrites(c.Rules) {
		metadata = []*corev3.HeaderValue{{Key: extproc.RuleHeader, Value: r.Name}}
	}
	route := &routev3.Route{
		Name:   r.Name,
		Match:  ruleMatch(r),
		Action: &routev3.Route_Route{Route: ruleAction(c, r)},
		TypedPerFilterConfig: map[string]*anypb.Any{
			filterName: packed(weftOn(metadata)),
		},
	}
	if keepsShape(r) {
		route.TypedPerFilterConfig[fallbackName] = packed(fallbackOf(r, ""))
	}
	change := requestChange(r)
	route.RequestHeadersToRemove = change.Remove
	for _, h := range change.Set {
		route.RequestHeadersToAdd = append(route.RequestHeadersToAdd, overwrite(h))
	}
	return route
}

// requestChange is how the requests of a rule that keeps its shape reach the legacy service, as far as that is the same for all of them.
// weft would ask for these changes, too; but while it is down, half an answer or one that cannot be read is no composite.
func requestChange(r *enrich.Rule) enrich.Headers {
	switch {
	case !keepsShape(r):
		return enrich.Headers{}
	case r.ReadsOnly():
		return enrich.LegacyRequest("GET")
	default:
		return enrich.LegacyRequest("POST")
	}
}

// rewriteRoute is for what else comes to the path of a rule: other methods, and parameters in another spelling. The legacy
// service gets it under its own path.
func rewriteRoute(c Config, r *enrich.Rule) *routev3.Route {
	return &routev3.Route{
		Name:  r.Name + "-other",
		Match: &routev3.RouteMatch{PathSpecifier: pathMatch(loosePattern(r.Path))},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{
			ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: c.legacyCluster},
			RegexRewrite:     rewrite(r),
		}},
	}
}

func pathMatch(pattern string) *routev3.RouteMatch_SafeRegex {
	return &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: pattern}}
}

// ruleMatch matches path, methods and query of a rule.
func ruleMatch(r *enrich.Rule) *routev3.RouteMatch {
	m := &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: r.Path.String()}}
	if len(r.Path.Params()) > 0 {
		m.PathSpecifier = pathMatch(exactPattern(r.Path))
	}
	methods := r.Methods
	if slices.Contains(methods, "GET") {
		methods = append(slices.Clone(methods), "HEAD")
	}
	m.Headers = []*routev3.HeaderMatcher{header(":method", regex(strings.Join(methods, "|")))}
	for _, q := range r.Query {
		p := &routev3.QueryParameterMatcher{
			Name:                         q.Name,
			QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_PresentMatch{PresentMatch: true},
		}
		if q.Type == 0 {
			p.QueryParameterMatchSpecifier = &routev3.QueryParameterMatcher_StringMatch{StringMatch: exact(q.Fixed)}
		}
		m.QueryParameters = append(m.QueryParameters, p)
	}
	return m
}

func ruleAction(c Config, r *enrich.Rule) *routev3.RouteAction {
	action := &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: c.legacyCluster},
		RegexRewrite:     rewrite(r),
		Timeout:          durationpb.New(c.RouteTimeout),
	}
	if retries := c.retries(); retries > 0 {
		action.RetryPolicy = &routev3.RetryPolicy{
			RetryOn:    "5xx,reset,connect-failure",
			NumRetries: wrapperspb.UInt32(retries),
			// Nobody knows what a second POST would do.
			RetriableRequestHeaders: []*routev3.HeaderMatcher{header(":method", regex("GET|HEAD"))},
		}
	}
	return action
}

// rewrite makes the path at the legacy service of the client's; nil if it is the same.
func rewrite(r *enrich.Rule) *matcherv3.RegexMatchAndSubstitute {
	if r.LegacyPath.IsZero() {
		return nil
	}
	groups := map[string]int{}
	for i, p := range r.Path.Params() {
		groups[p.Name] = i + 1
	}
	substitution := pattern(r.LegacyPath, func(s string) string { return strings.ReplaceAll(s, `\`, `\\`) },
		func(p enrich.Param) string { return fmt.Sprintf(`\%d`, groups[p.Name]) })
	return &matcherv3.RegexMatchAndSubstitute{
		Pattern:      &matcherv3.RegexMatcher{Regex: "^" + loosePattern(r.Path) + "$"},
		Substitution: substitution,
	}
}

// loosePattern is a regular expression (RE2) for the paths of a template, whatever its parameters are.
func loosePattern(t enrich.Template) string {
	return pattern(t, regexp.QuoteMeta, func(enrich.Param) string { return `([^/]*)` })
}

// exactPattern is one for the paths of a template whose parameters are of their types. Of 19 digits it cannot tell
// whether they fit an int64; see extproc.RuleHeader.
func exactPattern(t enrich.Template) string {
	return pattern(t, regexp.QuoteMeta, paramPattern)
}

func paramPattern(p enrich.Param) string { return "(" + p.Type.Pattern() + ")" }

// certainPattern is one that takes fewer: no path that a rule does not.
func certainPattern(t enrich.Template) string {
	return pattern(t, regexp.QuoteMeta, func(p enrich.Param) string {
		switch p.Type {
		case enrich.Int64:
			return `(0|-?[1-9][0-9]{0,17})`
		case enrich.String: // neither . nor ..
			return `([A-Za-z0-9_~-][A-Za-z0-9._~-]*)`
		default:
			return paramPattern(p)
		}
	})
}

// pattern writes a template with its text and its parameters each in its way.
func pattern(t enrich.Template, text func(string) string, param func(enrich.Param) string) string {
	var b strings.Builder
	for _, s := range t.Segments() {
		b.WriteString("/" + text(s.Prefix))
		if s.HasParam {
			b.WriteString(param(s.Param) + text(s.Suffix))
		}
	}
	return b.String()
}

func header(name string, match *matcherv3.StringMatcher) *routev3.HeaderMatcher {
	return &routev3.HeaderMatcher{
		Name:                 name,
		HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: match},
	}
}

func exact(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_Exact{Exact: s}}
}

func regex(s string) *matcherv3.StringMatcher {
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: s}}}
}

func inline(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
}
