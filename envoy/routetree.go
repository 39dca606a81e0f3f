package envoy

import (
	"strings"

	xdscorev3 "github.com/cncf/xds/go/xds/core/v3"
	xdsmatcherv3 "github.com/cncf/xds/go/xds/type/matcher/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
)

// maxListedRoutes is the maximum number of routes in the list of a virtual host. Envoy tries a list in order, and most
// routes are regular expressions: a thousand of them cost more than the rest of a request (make bench, part rules).
const maxListedRoutes = 16

// route is a route with the literal prefix of all its paths.
type route struct {
	*routev3.Route
	literal string
}

// setRoutes sets the routes of a virtual host: as a list or, if they are many, as a tree by the prefix of the path,
// with lists as its leaves. In both the first route that matches counts.
func setRoutes(virtual *routev3.VirtualHost, routes []route) {
	if len(routes) <= maxListedRoutes {
		for _, r := range routes {
			virtual.Routes = append(virtual.Routes, r.Route)
		}
		return
	}
	byPrefix := map[string]*xdsmatcherv3.Matcher_OnMatch{}
	for _, r := range routes {
		byPrefix[r.literal] = nil
	}
	for prefix := range byPrefix {
		// Envoy uses only the longest prefix of a path, so its list also has the routes of shorter prefixes.
		list := &routev3.RouteList{}
		for _, r := range routes {
			if strings.HasPrefix(prefix, r.literal) {
				list.Routes = append(list.Routes, r.Route)
			}
		}
		byPrefix[prefix] = &xdsmatcherv3.Matcher_OnMatch{OnMatch: &xdsmatcherv3.Matcher_OnMatch_Action{
			Action: extension("routes", list),
		}}
	}
	tree := &xdsmatcherv3.Matcher_MatcherTree{
		Input: extension("path", &matcherv3.HttpRequestHeaderMatchInput{HeaderName: ":path"}),
		TreeType: &xdsmatcherv3.Matcher_MatcherTree_PrefixMatchMap{
			PrefixMatchMap: &xdsmatcherv3.Matcher_MatcherTree_MatchMap{Map: byPrefix},
		},
	}
	virtual.Matcher = &xdsmatcherv3.Matcher{MatcherType: &xdsmatcherv3.Matcher_MatcherTree_{MatcherTree: tree}}
}

func extension(name string, config proto.Message) *xdscorev3.TypedExtensionConfig {
	return &xdscorev3.TypedExtensionConfig{Name: name, TypedConfig: marshalAny(config)}
}
