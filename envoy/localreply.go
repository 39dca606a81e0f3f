package envoy

import (
	"slices"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
)

// unreachableFlags returns the response flags of a legacy service that gave no whole answer. In the order of Envoy's list:
// no healthy host, request timeout, local and remote reset, connection failure and termination, overflow, no cluster,
// retry limit, protocol error, longest duration.
func unreachableFlags() []string {
	return []string{"UH", "UT", "LR", "UR", "UF", "UC", "UO", "NC", "URX", "UPE", "UMSDR"}
}

// localReplies shapes Envoy's own answers where weft cannot: when the legacy service breaks off in the middle of a
// body, Envoy answers past all filters, and when weft is down there is none to ask. Then both halves are missing.
// Where weft can, it replaces this answer by the composite.
func localReplies(c Config) *hcmv3.LocalReplyConfig {
	config := &hcmv3.LocalReplyConfig{}
	seen := map[string]bool{}
	for _, r := range c.Rules {
		path := legacyPath(r)
		if seen[path] || !r.AllowsMissingCore() || !slices.Contains(r.Methods, "GET") {
			continue // there is no such answer in its shape
		}
		seen[path] = true
		config.Mappers = append(config.Mappers,
			detail(r, path, enrich.LegacyUnreachable, &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
				ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: unreachableFlags()},
			}}),
			// Envoy's own 500: a body that outgrew its buffer while weft was down and the fallback waited for it.
			detail(r, path, "weft-unavailable", statusFilter(accesslogv3.ComparisonFilter_EQ)),
		)
	}
	return config
}

// detail answers with the 503 that says that nothing is to be had.
func detail(r *enrich.Rule, path string, why enrich.Reason, when *accesslogv3.AccessLogFilter) *hcmv3.ResponseMapper {
	outcome := enrich.Outcome{Disposition: enrich.Degraded, Reason: why}
	return &hcmv3.ResponseMapper{
		Filter: allOf(
			when,
			// An answer of weft's own may come as a local reply, too.
			statusFilter(accesslogv3.ComparisonFilter_GE),
			headerFilter(":method", exact("GET")),
			headerFilter(":path", regex(path+`(\?.*)?`)),
		),
		StatusCode: wrapperspb.UInt32(503),
		Body:       inline(string(r.Unavailable())),
		BodyFormatOverride: &corev3.SubstitutionFormatString{
			Format:      &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: inline("%LOCAL_REPLY_BODY%")},
			ContentType: "application/json",
		},
		HeadersToAdd: []*corev3.HeaderValueOption{
			overwrite(outcome.Header()),
			overwrite(enrich.Header{Name: "cache-control", Value: "no-store"}),
		},
	}
}

func allOf(filters ...*accesslogv3.AccessLogFilter) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
		AndFilter: &accesslogv3.AndFilter{Filters: filters},
	}}
}

// statusFilter compares the status with 500.
func statusFilter(op accesslogv3.ComparisonFilter_Op) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_StatusCodeFilter{
		StatusCodeFilter: &accesslogv3.StatusCodeFilter{Comparison: &accesslogv3.ComparisonFilter{
			Op:    op,
			Value: &corev3.RuntimeUInt32{DefaultValue: 500, RuntimeKey: "weft.local_reply_status"},
		}},
	}}
}

func headerFilter(name string, match *matcherv3.StringMatcher) *accesslogv3.AccessLogFilter {
	return &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_HeaderFilter{
		HeaderFilter: &accesslogv3.HeaderFilter{Header: header(name, match)},
	}}
}

func overwrite(h enrich.Header) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: h.Name, Value: h.Value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// legacyPath is a regular expression for the path that the legacy service is asked for. Once a route is taken, requests
// have it.
func legacyPath(r *enrich.Rule) string {
	if r.LegacyPath.IsZero() {
		return exactPattern(r.Path)
	}
	return exactPattern(r.LegacyPath)
}
