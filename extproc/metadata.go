package extproc

import (
	"context"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"weft/enrich"
	"weft/internal/envoyhttp"
)

// Metadata of a call that Envoy's configuration sets. All keys are optional.
const (
	// BudgetHeader overrides [Ruleset.Budget] for the exchange, as a Go duration.
	BudgetHeader = "x-weft-budget"
	// ConfigHeader identifies the rules from which Envoy's configuration was made; see [NewRuleset]. Health checks send
	// it, exchanges do not.
	ConfigHeader = "x-weft-config"
	// RuleHeader is the name of the rule of a route. The pattern of a route can match a few requests that the rule does
	// not match, such as a number that is too large. If such a request matches another rule, its core would be that of
	// one rule and its extensions those of another.
	RuleHeader = "x-weft-rule"

	traceParent = "traceparent" // W3C Trace Context
)

// budget returns how long the exchange may wait for MongoDB once the core has arrived.
func (x *exchange) budget() time.Duration {
	if d, err := time.ParseDuration(metadataValue(x.stream.Context(), BudgetHeader)); err == nil && d > 0 {
		return d
	}
	return x.ruleset.Budget
}

// metadataValue returns the last value of a name in the metadata of a stream; empty if it has none.
func metadataValue(ctx context.Context, name string) string {
	values := metadata.ValueFromIncomingContext(ctx, name)
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// traceOf returns the trace of an exchange. An Envoy with tracing creates a span for its call of weft, which it sends
// in the stream's metadata; an Envoy without tracing may still forward a header of the client.
func traceOf(ctx context.Context, request fields) enrich.Trace {
	ofClient, _ := request.get(traceParent)
	return envoyhttp.Trace(metadataValue(ctx, traceParent), ofClient)
}

// dynamicMetadata returns the dynamic_metadata of the last reply.
func dynamicMetadata(r *enrich.Report) *structpb.Struct {
	values := map[string]*structpb.Value{
		"rule":      structpb.NewStringValue(r.Rule),
		"verdict":   structpb.NewStringValue(string(r.Outcome.Disposition)),
		"legacy_ms": structpb.NewNumberValue(envoyhttp.Milliseconds(r.Times.Legacy)),
		"added_ms":  structpb.NewNumberValue(envoyhttp.Milliseconds(r.Times.Added)),
	}
	if reason := r.Outcome.Reasons(); reason != "" {
		values["reason"] = structpb.NewStringValue(reason)
	}
	if r.Times.Read != 0 {
		values["mongodb_ms"] = structpb.NewNumberValue(envoyhttp.Milliseconds(r.Times.Read))
	}
	if status := r.Cache(); status != "" {
		values["cache"] = structpb.NewStringValue(string(status))
	}
	if r.Core != "" {
		values["core"] = structpb.NewStringValue(string(r.Core))
	}
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		envoyhttp.MetadataNamespace: structpb.NewStructValue(&structpb.Struct{Fields: values}),
	}}
}
