package envoy

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tracev3 "github.com/envoyproxy/go-control-plane/envoy/config/trace/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	samplersv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/tracers/opentelemetry/samplers/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const collectorCluster = "otlp"

// tracing has Envoy make spans of requests, and send them to the collector; nil if there is none. A request whose client has
// its trace recorded is recorded, too; of others so many as Config.TraceSampling says. Envoy tells weft and the legacy
// service of the trace (W3C traceparent).
func tracing(c Config) *hcmv3.HttpConnectionManager_Tracing {
	if c.Collector == "" {
		return nil
	}
	return &hcmv3.HttpConnectionManager_Tracing{
		// All of them, as far as this is concerned: else those would be lost whose client traces them. The sampler decides.
		RandomSampling:    &typev3.Percent{Value: 100},
		SpawnUpstreamSpan: wrapperspb.Bool(true), // the legacy service's time in a span of its own
		Provider: &tracev3.Tracing_Http{
			Name: "envoy.tracers.opentelemetry",
			ConfigType: &tracev3.Tracing_Http_TypedConfig{TypedConfig: packed(&tracev3.OpenTelemetryConfig{
				ServiceName: "envoy",
				Sampler: &corev3.TypedExtensionConfig{
					Name: "envoy.tracers.opentelemetry.samplers.parent_based",
					TypedConfig: packed(&samplersv3.ParentBasedSamplerConfig{WrappedSampler: &corev3.TypedExtensionConfig{
						Name: "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
						TypedConfig: packed(&samplersv3.TraceIdRatioBasedSamplerConfig{SamplingPercentage: &typev3.FractionalPercent{
							Numerator: uint32(c.TraceSampling * 1e4), Denominator: typev3.FractionalPercent_MILLION,
						}}),
					}}),
				},
				GrpcService: &corev3.GrpcService{
					TargetSpecifier: &corev3.GrpcService_EnvoyGrpc_{EnvoyGrpc: &corev3.GrpcService_EnvoyGrpc{ClusterName: collectorCluster}},
					Timeout:         seconds(1),
				},
			})},
		},
	}
}

func collectorOptions(collector *clusterv3.Cluster) {
	collector.ConnectTimeout = seconds(1)
	collector.TypedExtensionProtocolOptions = protocolOptions(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: explicit(&httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: &corev3.Http2ProtocolOptions{}},
		}),
	})
}
