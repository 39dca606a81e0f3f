package envoy

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	samplersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// tracing returns a configuration with which Envoy sends spans to the collector, or nil if there is no collector. A
// request whose client records its trace is recorded; of the others, the share that Config.TraceSampling says. Envoy
// sends the trace context to weft and to the legacy service (W3C traceparent).
func tracing(c Config) *hcmv3.HttpConnectionManager_Tracing {
	if c.Collector == "" {
		return nil
	}
	ratio := &samplersv3.TraceIdRatioBasedSamplerConfig{SamplingPercentage: &typev3.FractionalPercent{
		Numerator: uint32(c.TraceSampling * 1e4), Denominator: typev3.FractionalPercent_MILLION,
	}}
	parent := &samplersv3.ParentBasedSamplerConfig{WrappedSampler: &corev3.TypedExtensionConfig{
		Name:        "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
		TypedConfig: marshalAny(ratio),
	}}
	return &hcmv3.HttpConnectionManager_Tracing{
		RandomSampling:    &typev3.Percent{Value: 100}, // the sampler decides; less would lose traces of clients
		SpawnUpstreamSpan: wrapperspb.Bool(true),       // the time of the legacy service is a span of its own
		Provider: &tracev3.Tracing_Http{
			Name: "envoy.tracers.opentelemetry",
			ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: marshalAny(&tracev3.OpenTelemetryConfig{
				ServiceName: "envoy",
				Sampler: &corev3.TypedExtensionConfig{
					Name:        "envoy.tracers.opentelemetry.samplers.parent_based",
					TypedConfig: marshalAny(parent),
				},
				GrpcService: &corev3.GrpcService{
					TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{
						EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: collectorClusterName},
					},
					Timeout: seconds(1),
				},
			})},
		},
	}
}
