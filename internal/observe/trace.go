package observe

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"weft/enrich"
)

// Traces returns a function that exports the spans of a report over OTLP/gRPC to an endpoint such as
// http://localhost:4317, and a function that exports the remaining spans within two seconds. If endpoint is empty, both
// do nothing.
//
// Only exchanges of a sampled trace have spans; Envoy decides which requests are sampled. OpenTelemetry's environment
// variables apply, such as OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
func Traces(
	ctx context.Context, endpoint, version string, logger *slog.Logger,
) (record func(*enrich.Report), closeTraces func(), err error) {
	if endpoint == "" {
		return func(*enrich.Report) {}, func() {}, nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, nil, fmt.Errorf("%q: want http://host:port, or https://host:port for TLS", endpoint)
	}
	// The SDK reports export errors only to this global handler.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("trace export failed", "error", err) }))
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(endpoint))
	if err != nil {
		return nil, nil, err
	}
	res, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "weft"), attribute.String("service.version", version)),
		resource.WithFromEnv(), resource.WithHost(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, nil, err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	t := tracer{provider.Tracer("weft")}
	return t.record, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = provider.Shutdown(ctx) // the error handler logs export errors
	}, nil
}

// tracer creates the spans of reports.
type tracer struct{ trace.Tracer }

// record creates the spans of an exchange: the exchange, its MongoDB commands, the wait for them, and the composition.
func (t tracer) record(r *enrich.Report) {
	if !r.Trace.Sampled {
		return
	}
	at := func(since time.Duration) time.Time { return r.Times.Began.Add(since) }
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: r.Trace.ID, SpanID: r.Trace.Parent, TraceFlags: trace.FlagsSampled, Remote: true,
	}))
	end := at(r.Times.Legacy + r.Times.Added)
	ctx, exchange := t.Start(ctx, "exchange",
		trace.WithTimestamp(r.Times.Began), trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("weft.rule", r.Rule),
			attribute.String("weft.verdict", string(r.Outcome.Disposition)),
			attribute.String("weft.reason", string(r.Outcome.Reason)),
			attribute.Int("http.response.status_code", r.Status),
			attribute.Int("weft.core.size", r.CoreSize),
			attribute.Int("weft.answer.size", r.AnswerSize),
			attribute.String("weft.request_id", strings.ToValidUTF8(r.RequestID, "\uFFFD")),
		))
	if r.Outcome.Disposition == enrich.Degraded {
		exchange.SetStatus(codes.Error, string(r.Outcome.Reason))
	}
	if status := r.Cache(); status != "" {
		exchange.SetAttributes(attribute.String("weft.cache", string(status)))
	}
	if r.Core != "" {
		exchange.SetAttributes(attribute.String("weft.core", string(r.Core)))
	}
	for _, read := range r.Reads {
		if read.Cache == enrich.CacheHit {
			continue
		}
		t.recordRead(ctx, r, read)
	}
	composing := r.Times.Answered
	if r.Times.Waiting != 0 {
		composing = r.Times.Waiting + r.Times.Waited
		_, wait := t.Start(ctx, "wait for MongoDB", trace.WithTimestamp(at(r.Times.Waiting)))
		wait.End(trace.WithTimestamp(at(composing)))
	}
	if r.AnswerSize > 0 {
		_, compose := t.Start(ctx, "compose", trace.WithTimestamp(at(composing)))
		compose.End(trace.WithTimestamp(end))
	}
	exchange.End(trace.WithTimestamp(end))
}

// recordRead creates the span of a command. If the exchange stopped waiting for the command, the span ends with the
// wait.
func (t tracer) recordRead(ctx context.Context, r *enrich.Report, read enrich.SourceRead) {
	began, ended := r.Times.Began, r.Times.Began.Add(r.Times.Waiting+r.Times.Waited)
	if read.Late {
		began = began.Add(r.Times.Answered)
	}
	attributes := []attribute.KeyValue{
		attribute.String("db.system.name", "mongodb"),
		attribute.String("db.namespace", read.Source.Database),
		attribute.String("db.collection.name", read.Source.Collection),
		attribute.String("db.operation.name", "find"),
	}
	if c := read.Command; c != nil {
		began, ended = c.Began, c.Ended
		// The keys of all exchanges that shared the command.
		attributes = append(attributes, attribute.Int("db.operation.batch.size", c.Keys))
	}
	_, span := t.Start(ctx, "find "+read.Source.Collection, trace.WithTimestamp(began),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	if read.Command == nil {
		span.SetStatus(codes.Error, "abandoned")
	}
	span.End(trace.WithTimestamp(ended))
}
