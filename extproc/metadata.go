package extproc

import (
	"context"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"weft/enrich"
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

// config is the configuration in the metadata of a stream, if it has any.
type config struct {
	budget time.Duration
	rule   string
}

func configOf(ctx context.Context) (c config) {
	if d, err := time.ParseDuration(metadataValue(ctx, BudgetHeader)); err == nil && d > 0 {
		c.budget = d
	}
	c.rule = metadataValue(ctx, RuleHeader)
	return c
}

// metadataValue returns the last value of a name in the metadata of a stream.
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
	for _, carrier := range []propagation.MapCarrier{
		{traceParent: metadataValue(ctx, traceParent)},
		{traceParent: ofClient},
	} {
		if carrier[traceParent] == "" {
			continue
		}
		extracted := propagation.TraceContext{}.Extract(context.Background(), carrier)
		if c := trace.SpanContextFromContext(extracted); c.IsValid() {
			return enrich.Trace{ID: c.TraceID(), Parent: c.SpanID(), Sampled: c.IsSampled()}
		}
	}
	return enrich.Trace{}
}

// MetadataNamespace is the namespace of the dynamic metadata that the last reply of an exchange sets, for Envoy's
// access log: rule, verdict, reason (two reasons with a plus between them if core and extension failed), legacy_ms,
// mongodb_ms and added_ms. Unknown values are omitted. Envoy's configuration must allow it (receiving_namespaces).
const MetadataNamespace = "weft"

// dynamicMetadata returns the dynamic_metadata of the last reply.
func dynamicMetadata(r *enrich.Report) *structpb.Struct {
	values := map[string]*structpb.Value{
		"rule":      structpb.NewStringValue(r.Rule),
		"verdict":   structpb.NewStringValue(string(r.Outcome.Disposition)),
		"legacy_ms": structpb.NewNumberValue(milliseconds(r.Times.Legacy)),
		"added_ms":  structpb.NewNumberValue(milliseconds(r.Times.Added)),
	}
	if reason := string(r.Outcome.Reason); reason != "" {
		if r.Outcome.Also != "" {
			reason += "+" + string(r.Outcome.Also)
		}
		values["reason"] = structpb.NewStringValue(reason)
	}
	if r.Times.Read != 0 {
		values["mongodb_ms"] = structpb.NewNumberValue(milliseconds(r.Times.Read))
	}
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		MetadataNamespace: structpb.NewStructValue(&structpb.Struct{Fields: values}),
	}}
}

// milliseconds returns d in milliseconds, rounded to microseconds.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond).Microseconds()) / 1000
}

// serverTiming returns the value of a server-timing header (W3C Server Timing), which browsers display: the times of
// the legacy service and of MongoDB, which overlap, and the time that weft added, in milliseconds.
func serverTiming(t enrich.Times) string {
	b := make([]byte, 0, 64)
	add := func(name string, d time.Duration) {
		b = strconv.AppendFloat(append(b, name...), milliseconds(d), 'f', -1, 64)
	}
	add("legacy;dur=", t.Legacy)
	if t.Read != 0 {
		add(", mongodb;dur=", t.Read)
	}
	add(", weft;dur=", t.Added)
	return string(b)
}
