package envoy

import (
	"cmp"
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	// Messages of bootstrap.yaml.tmpl.
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/http/header_formatters/preserve_case/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"

	"weft/internal/envoyhttp"
)

// Bootstrap returns the configuration of a standalone Envoy in front of a legacy service: a listener, a route for each
// rule and one for all other requests, and clusters for weft and the legacy service.
func Bootstrap(c Config) (*bootstrapv3.Bootstrap, error) {
	c = c.withDefaults()
	listen, listenErr := address(c.Listen)
	admin, adminErr := address(c.Admin)
	clusters, clustersErr := clusters(c)
	filters, filtersErr := filters(c)
	if err := cmp.Or(listenErr, adminErr, clustersErr, filtersErr, c.Module.validate(c.Rules)); err != nil {
		return nil, err
	}
	b := &bootstrapv3.Bootstrap{}
	if err := merge(b, "bootstrap.yaml.tmpl", map[string]any{
		"Listen":           listen,
		"Admin":            admin,
		"BufferLimit":      bufferLimit(c),
		"Routes":           routes(c),
		"Filters":          slices.Concat(c.Filters, filters),
		"LocalReplies":     localReplies(c),
		"TrustedHops":      c.TrustedHops,
		"PreserveCase":     c.PreserveCase,
		"NormalizePaths":   c.NormalizePaths,
		"Clusters":         clusters,
		"Collector":        c.Collector,
		"TracesPerMillion": uint32(c.TraceSampling * 1e4),
	}); err != nil {
		return nil, err
	}
	return b, b.ValidateAll()
}

// bufferLimit returns the size of Envoy's buffer for a body, in bytes.
func bufferLimit(c Config) uint32 {
	limit := 0
	for _, r := range c.Rules {
		limit = max(limit, r.CoreLimit)
	}
	return uint32(limit) + envoyhttp.BufferSlack
}

// marshalAny packs a message. Its output is deterministic: see [Fingerprint].
func marshalAny(m proto.Message) *anypb.Any {
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(err) // for a string that is not UTF-8; addresses and rules are validated before
	}
	return a
}
