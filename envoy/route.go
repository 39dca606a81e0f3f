package envoy

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
	"weft/extproc"
	"weft/internal/envoyhttp"
)

// routes sends all requests to the legacy service; requests that match a rule are processed by weft. Each host in a
// rule has a virtual host.
func routes(c Config) *routev3.RouteConfiguration {
	hosts := hosts(c.Rules)
	config := &routev3.RouteConfiguration{Name: "routes", IgnorePortInHostMatching: len(hosts) > 1}
	for _, host := range hosts {
		config.VirtualHosts = append(config.VirtualHosts, virtualHost(c, host))
	}
	return config
}

// hosts returns the hosts in the rules and, last, "" for all others.
func hosts(rules []*enrich.Rule) []string {
	var hosts []string
	for _, r := range rules {
		if r.Host != "" && !slices.Contains(hosts, r.Host) {
			hosts = append(hosts, r.Host)
		}
	}
	return append(hosts, "")
}

func virtualHost(c Config, host string) *routev3.VirtualHost {
	v := &routev3.VirtualHost{
		Name:    "legacy",
		Domains: []string{cmp.Or(host, "*")},
		// Only weft sets this header. The request filters still see the client's header, which weft removes. A filter that
		// removes all headers with this prefix would cost two per cent of a request without a rule.
		RequestHeadersToRemove:  []string{enrich.OutcomeHeader},
		ResponseHeadersToRemove: []string{enrich.OutcomeHeader},
	}
	if host != "" {
		v.Name = "legacy for " + host
	}
	if *c.Retries > 0 {
		v.RetryPolicy = &routev3.RetryPolicy{RetryOn: retryUnsent, NumRetries: wrapperspb.UInt32(*c.Retries)}
	}
	var matched, others []route
	for _, r := range c.Rules {
		if !servesHost(r, host) {
			continue
		}
		for _, byMethods := range ruleRoutes(c, r) {
			matched = append(matched, route{byMethods, r.Path.Literal()})
		}
		if r.Keeps() {
			others = append(others, route{unsafeRoute(c, r), r.Path.Literal()})
		}
		if !r.LegacyPath.IsZero() {
			others = append(others, route{otherRoute(c, r), r.Path.Literal()})
		}
	}
	setRoutes(v, slices.Concat(matched, others, []route{{&routev3.Route{
		Name:   "other",
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: legacyAction(c)},
	}, "/"}}))
	return v
}

// retryUnsent retries requests of which the legacy service has received nothing. It is safe for all methods, and the
// default policy of routes.
const retryUnsent = "connect-failure,refused-stream,reset-before-request"

// idleTimeout is the idle timeout of a stream. Envoy's default, 5 minutes, would end idle WebSockets and server-sent
// events. Without a timeout, streams of disconnected clients would remain forever.
const idleTimeout = time.Hour

// ruleRoutes returns the routes of a rule: two if only some of its requests may be retried after they were sent.
func ruleRoutes(c Config, r *enrich.Rule) []*routev3.Route {
	if retryPolicy(c, r) == nil || r.ReadsOnly() {
		return []*routev3.Route{ruleRoute(c, r)}
	}
	reads, writes := *r, *r
	reads.Methods = []string{"GET"}
	writes.Methods = slices.DeleteFunc(slices.Clone(r.Methods), func(m string) bool { return m == "GET" })
	return []*routev3.Route{ruleRoute(c, &reads), ruleRoute(c, &writes)}
}

// servesHost reports whether a rule is for requests to a virtual host.
func servesHost(r *enrich.Rule, host string) bool {
	if r.Host == "" || r.Host == host {
		return true
	}
	suffix, isWildcard := strings.CutPrefix(r.Host, "*")
	return isWildcard && strings.HasSuffix(host, suffix)
}

// ruleRoute returns the route for the requests that match a rule. The route also matches a few other requests (see
// exactPattern), so it sends weft the name of the rule if that matters: metadata of a route costs Envoy CPU time. The
// filters of weft are disabled by default; the configuration of a route enables them.
func ruleRoute(c Config, r *enrich.Rule) *routev3.Route {
	action := legacyAction(c)
	action.RegexRewrite = rewrite(r)
	action.Timeout = durationpb.New(c.RouteTimeout)
	action.RetryPolicy = retryPolicy(c, r)
	route := &routev3.Route{
		Name:                 r.Name,
		Match:                ruleMatch(r),
		Action:               &routev3.Route_Route{Route: action},
		TypedPerFilterConfig: enableWeft(c, r),
	}
	if c.Module == nil && needsScript(r) {
		route.TypedPerFilterConfig[fallbackFilterName] = marshalAny(fallbackPerRoute(r))
		route.RequestHeadersToRemove = []string{envoyhttp.IfNoneMatchHeader}
	}
	return route
}

// unsafeRoute returns the route for requests that may change the resource of a rule that keeps cores: weft drops a core
// if such a request succeeds (RFC 9111, section 4.4).
func unsafeRoute(c Config, r *enrich.Rule) *routev3.Route {
	action := legacyAction(c)
	action.RegexRewrite = rewrite(r)
	route := &routev3.Route{
		Name:                 r.Name + "-unsafe",
		Match:                ruleMatch(r),
		Action:               &routev3.Route_Route{Route: action},
		TypedPerFilterConfig: enableWeft(c, r),
	}
	other := header(":method", regex(strings.Join(append(methods(r), "OPTIONS", "TRACE", "CONNECT"), "|")))
	other.InvertMatch = true
	route.Match.Headers = []*routev3.HeaderMatcher{other}
	return route
}

// enableWeft returns the configuration of weft's filter on a route of a rule.
func enableWeft(c Config, r *enrich.Rule) map[string]*anypb.Any {
	if c.Module != nil {
		return map[string]*anypb.Any{moduleFilterName: marshalAny(modulePerRoute(c, r))}
	}
	return map[string]*anypb.Any{extProcFilterName: marshalAny(extProcPerRoute(c, r))}
}

// extProcPerRoute enables ext_proc on the route of a rule.
func extProcPerRoute(c Config, r *enrich.Rule) *extprocv3.ExtProcPerRoute {
	overrides := &extprocv3.ExtProcOverrides{}
	if isAmbiguous(c.Rules, r) {
		overrides.GrpcInitialMetadata = []*corev3.HeaderValue{{Key: extproc.RuleHeader, Value: r.Name}}
	}
	return &extprocv3.ExtProcPerRoute{Override: &extprocv3.ExtProcPerRoute_Overrides{Overrides: overrides}}
}

// isAmbiguous reports whether a request on the route of a rule can match another rule, whose core has another path at
// the legacy service.
func isAmbiguous(rules []*enrich.Rule, r *enrich.Rule) bool {
	return slices.ContainsFunc(rules, func(other *enrich.Rule) bool {
		return other.Name != r.Name && (!r.LegacyPath.IsZero() || !other.LegacyPath.IsZero()) &&
			slices.EqualFunc(r.Path.Segments(), other.Path.Segments(), func(a, b enrich.Segment) bool {
				return a.HasParam || b.HasParam || a.Prefix == b.Prefix
			})
	})
}

// otherRoute returns the route for all other requests to the path of a rule that has a legacy_path: other methods, and
// parameters in another spelling. It rewrites the path, too.
func otherRoute(c Config, r *enrich.Rule) *routev3.Route {
	action := legacyAction(c)
	action.RegexRewrite = rewrite(r)
	return &routev3.Route{
		Name:   r.Name + "-other",
		Match:  &routev3.RouteMatch{PathSpecifier: pathRegex(loosePattern(r.Path))},
		Action: &routev3.Route_Route{Route: action},
	}
}

// legacyAction disables the route timeout: Envoy's default, 15 seconds, would end server-sent events and large
// downloads.
func legacyAction(c Config) *routev3.RouteAction {
	return &routev3.RouteAction{
		ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: c.legacyCluster},
		Timeout:          durationpb.New(0),
		IdleTimeout:      durationpb.New(idleTimeout),
	}
}

// retryPolicy returns the policy for the GET of a rule. It returns nil for other methods: a POST that fails may have
// had an effect.
func retryPolicy(c Config, r *enrich.Rule) *routev3.RetryPolicy {
	if *c.Retries == 0 || !slices.Contains(r.Methods, "GET") {
		return nil
	}
	return &routev3.RetryPolicy{RetryOn: "5xx,reset,connect-failure", NumRetries: wrapperspb.UInt32(*c.Retries)}
}

// methods returns the methods of a rule. HEAD matches the rule of GET.
func methods(r *enrich.Rule) []string {
	if slices.Contains(r.Methods, "GET") {
		return append(slices.Clone(r.Methods), "HEAD")
	}
	return r.Methods
}

// ruleMatch matches path, methods and query of a rule.
func ruleMatch(r *enrich.Rule) *routev3.RouteMatch {
	m := &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_Path{Path: r.Path.String()},
		Headers:       []*routev3.HeaderMatcher{header(":method", regex(strings.Join(methods(r), "|")))},
	}
	if len(r.Path.Params()) > 0 {
		m.PathSpecifier = pathRegex(exactPattern(r.Path))
	}
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

// rewrite converts the client's path to that of the legacy service. It returns nil if they are equal.
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

// loosePattern returns a regular expression (RE2) for the paths of a template with parameters of any type.
func loosePattern(t enrich.Template) string {
	return pattern(t, regexp.QuoteMeta, func(enrich.Param) string { return `([^/]*)` })
}

// exactPattern returns a regular expression (RE2) for the paths of a template with parameters of its types. It also
// matches some that weft does not: a number of 19 digits that does not fit in an int64, and the strings "." and "..".
func exactPattern(t enrich.Template) string {
	return pattern(t, regexp.QuoteMeta, func(p enrich.Param) string { return "(" + p.Type.Pattern() + ")" })
}

// pattern converts a template to another syntax: text and param convert its parts.
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

// hostPattern returns a regular expression (RE2) for the host of a rule, without a port.
func hostPattern(host string) string {
	if suffix, isWildcard := strings.CutPrefix(host, "*"); isWildcard {
		return "(?i).+" + regexp.QuoteMeta(suffix)
	}
	return "(?i)" + regexp.QuoteMeta(host)
}

func pathRegex(s string) *routev3.RouteMatch_SafeRegex {
	return &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: s}}
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
	return &matcherv3.StringMatcher{MatchPattern: &matcherv3.StringMatcher_SafeRegex{
		SafeRegex: &matcherv3.RegexMatcher{Regex: s},
	}}
}

func inline(s string) *corev3.DataSource {
	return &corev3.DataSource{Specifier: &corev3.DataSource_InlineString{InlineString: s}}
}
