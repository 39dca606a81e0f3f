package envoy

import (
	"regexp"
	"slices"
	"strings"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
)

// localReplies replaces local replies of Envoy on the paths of composites by the 503 for "core and extension failed".
// Envoy sends them without any filter if the legacy service fails in the middle of a body, and without weft if weft is
// down. If weft gets the local reply, it replaces it by the composite.
func localReplies(c Config) *hcmv3.LocalReplyConfig {
	config := &hcmv3.LocalReplyConfig{}
	// The legacy service sent no complete response. In the order of Envoy's list: no healthy host, request timeout, local
	// and remote reset, connection failure and termination, overflow, no cluster, retry limit, protocol error, maximum
	// duration.
	unreachable := []string{"UH", "UT", "LR", "UR", "UF", "UC", "UO", "NC", "URX", "UPE", "UMSDR"}
	for _, r := range c.Rules {
		// Other shapes have no such response, and with DegradeNever the client gets the failure itself.
		if !r.AllowsMissingCore() || r.Degrade == enrich.DegradeNever || !slices.Contains(r.Methods, "GET") {
			continue
		}
		isRead := matchesRead(r)
		config.Mappers = append(config.Mappers,
			unavailable(r, enrich.LegacyUnreachable, append([]*accesslogv3.AccessLogFilter{
				{FilterSpecifier: &accesslogv3.AccessLogFilter_ResponseFlagFilter{
					ResponseFlagFilter: &accesslogv3.ResponseFlagFilter{Flags: unreachable},
				}},
				statusFilter(accesslogv3.ComparisonFilter_GE), // weft's response, a 200, can be a local reply, too
			}, isRead...)),
			// A 500 of Envoy: weft is down, and the body exceeds the buffer of the fallback.
			unavailable(r, "weft-unavailable", append([]*accesslogv3.AccessLogFilter{
				statusFilter(accesslogv3.ComparisonFilter_EQ),
			}, isRead...)),
		)
	}
	return config
}

// matchesRead returns filters for the GET of a rule: requests of others keep their local replies.
func matchesRead(r *enrich.Rule) []*accesslogv3.AccessLogFilter {
	path := ":path"
	if !r.LegacyPath.IsZero() {
		path = "x-envoy-original-path" // the router has rewritten :path
	}
	filters := []*accesslogv3.AccessLogFilter{
		headerFilter(":method", exact("GET")),
		headerFilter(path, regex(exactPattern(r.Path)+`(\?.*)?`)),
	}
	for _, q := range r.Query {
		value := regexp.QuoteMeta(q.Fixed)
		if q.Type != 0 {
			value = q.Type.Pattern()
		}
		filters = append(filters, headerFilter(path, regex(`[^?]*\?(.*&)?`+regexp.QuoteMeta(q.Name)+"=("+value+")(&.*)?")))
	}
	if r.Host != "" {
		filters = append(filters, headerFilter(":authority", regex(hostPattern(r.Host)+"(:[0-9]*)?")))
	}
	return filters
}

// unavailable responds with a 503 if all filters match.
func unavailable(r *enrich.Rule, reason enrich.Reason, filters []*accesslogv3.AccessLogFilter) *hcmv3.ResponseMapper {
	body := inline(strings.ReplaceAll(string(r.Unavailable()), "%", "%%"))
	answer := enrich.Answer{Outcome: enrich.Outcome{Disposition: enrich.Degraded, Reason: reason}}
	var headers []*corev3.HeaderValueOption
	for _, h := range answer.Headers().Set {
		headers = append(headers, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: h.Name, Value: h.Value},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return &hcmv3.ResponseMapper{
		Filter: &accesslogv3.AccessLogFilter{FilterSpecifier: &accesslogv3.AccessLogFilter_AndFilter{
			AndFilter: &accesslogv3.AndFilter{Filters: filters},
		}},
		StatusCode: wrapperspb.UInt32(503),
		BodyFormatOverride: &corev3.SubstitutionFormatString{
			Format:      &corev3.SubstitutionFormatString_TextFormatSource{TextFormatSource: body},
			ContentType: r.ContentType,
		},
		HeadersToAdd: headers,
	}
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
