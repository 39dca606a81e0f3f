package envoy

import (
	"cmp"
	"fmt"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
	"weft/extproc"
)

const (
	weftClusterName      = "weft"
	collectorClusterName = "otlp"
)

// clusters returns those of a standalone Envoy.
func clusters(c Config) ([]*clusterv3.Cluster, error) {
	legacy, legacyErr := legacyCluster(c)
	weft, weftErr := weftCluster(c)
	if err := cmp.Or(legacyErr, weftErr); err != nil || c.Collector == "" {
		return []*clusterv3.Cluster{legacy, weft}, err
	}
	collector, err := cluster(collectorClusterName, c.Collector)
	if err != nil {
		return nil, err
	}
	collector.TypedExtensionProtocolOptions = http2(&corev3.Http2ProtocolOptions{})
	return []*clusterv3.Cluster{legacy, weft, collector}, nil
}

// weftCluster has HTTP/2 for gRPC, and limits that allow a stream for each request: by default, those beyond 1,024
// would pass without weft.
func weftCluster(c Config) (*clusterv3.Cluster, error) {
	weft, err := cluster(weftClusterName, strings.Split(c.Weft, ",")...)
	if err != nil {
		return nil, err
	}
	weft.CircuitBreakers = circuitBreakers(&clusterv3.CircuitBreakers_Thresholds{
		MaxConnections:     wrapperspb.UInt32(65536),
		MaxPendingRequests: wrapperspb.UInt32(65536),
		MaxRequests:        wrapperspb.UInt32(65536),
	})
	weft.TypedExtensionProtocolOptions = http2(&corev3.Http2ProtocolOptions{
		MaxConcurrentStreams: wrapperspb.UInt32(c.WeftStreams),
	})
	// An instance that reports that it stops gets no new streams after the next check, one that does not answer after
	// two. Both are less than weft's drain window.
	weft.HealthChecks = []*corev3.HealthCheck{{
		Timeout:            seconds(1),
		Interval:           seconds(1),
		NoTrafficInterval:  seconds(1), // with the default, a minute, the first clients would find out
		UnhealthyThreshold: wrapperspb.UInt32(2),
		HealthyThreshold:   wrapperspb.UInt32(1),
		HealthChecker: &corev3.HealthCheck_GrpcHealthCheck_{GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{
			ServiceName: extprocv3.ExternalProcessor_ServiceDesc.ServiceName,
			// weft compares it with its own. Here it is sent once a second; with each exchange it would cost a twelfth of
			// Envoy's CPU time.
			InitialMetadata: []*corev3.HeaderValueOption{overwrite(enrich.Header{Name: extproc.ConfigHeader, Value: Fingerprint(c.Rules)})},
		}},
	}}
	// If no instance is healthy, Envoy tries all: one that stops still accepts streams, and a call to one that is down
	// fails at once.
	weft.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 1}}
	weft.TransportSocket, err = c.TLS.transportSocket()
	return weft, err
}

// legacyCluster protects the legacy service: by Envoy's default limits of connections and requests, a budget for
// retries, and a pause for an endpoint that keeps failing. An only endpoint gets requests in its pause, too (panic
// threshold).
func legacyCluster(c Config) (*clusterv3.Cluster, error) {
	legacy, err := cluster(c.legacyCluster, c.Legacy)
	if err != nil {
		return nil, err
	}
	legacy.CircuitBreakers = circuitBreakers(&clusterv3.CircuitBreakers_Thresholds{
		RetryBudget: &clusterv3.CircuitBreakers_Thresholds_RetryBudget{},
	})
	legacy.OutlierDetection = &clusterv3.OutlierDetection{
		BaseEjectionTime:   seconds(5),
		MaxEjectionPercent: wrapperspb.UInt32(50),
	}
	legacy.TypedExtensionProtocolOptions = protocolOptions(&httpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
		},
	}, &corev3.HttpProtocolOptions{
		// A response with headers beyond Envoy's defaults, 60 KiB and 100 headers, would count as failed.
		MaxResponseHeadersKb: wrapperspb.UInt32(1024),
		MaxHeadersCount:      wrapperspb.UInt32(1000),
	})
	return legacy, nil
}

// cluster returns a cluster with an endpoint for each address.
func cluster(name string, addresses ...string) (*clusterv3.Cluster, error) {
	endpoints, names, sockets := &endpointv3.LocalityLbEndpoints{}, false, false
	for _, s := range addresses {
		a, err := address(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		names, sockets = names || isName(a), sockets || a.GetPipe() != nil
		endpoints.LbEndpoints = append(endpoints.LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: a}},
		})
	}
	c := &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       seconds(1),
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{endpoints},
		},
	}
	switch {
	case names && sockets:
		return nil, fmt.Errorf("%s at %s: Envoy does not accept sockets and host names in one cluster",
			name, strings.Join(addresses, ","))
	case names:
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
		c.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
	}
	return c, nil
}

// http2 returns the protocol options for gRPC.
func http2(o *corev3.Http2ProtocolOptions) map[string]*anypb.Any {
	return protocolOptions(&httpv3.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{Http2ProtocolOptions: o},
	}, nil)
}

func protocolOptions(
	explicit *httpv3.HttpProtocolOptions_ExplicitHttpConfig, common *corev3.HttpProtocolOptions,
) map[string]*anypb.Any {
	return map[string]*anypb.Any{
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": marshalAny(&httpv3.HttpProtocolOptions{
			CommonHttpProtocolOptions: common,
			UpstreamProtocolOptions:   &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: explicit},
		}),
	}
}

func circuitBreakers(t *clusterv3.CircuitBreakers_Thresholds) *clusterv3.CircuitBreakers {
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{t}}
}

func seconds(n int64) *durationpb.Duration { return &durationpb.Duration{Seconds: n} }
