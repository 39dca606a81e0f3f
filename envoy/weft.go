package envoy

import (
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// clusterOfWeft is where Envoy finds weft, be it one instance or several.
func (c Config) clusterOfWeft() (*clusterv3.Cluster, error) {
	var addresses []*corev3.Address
	for one := range strings.SplitSeq(c.Weft, ",") {
		a, err := address(strings.TrimSpace(one))
		if err != nil {
			return nil, err
		}
		addresses = append(addresses, a)
	}
	isSocket := func(a *corev3.Address) bool { return a.GetPipe() != nil }
	if slices.ContainsFunc(addresses, isName) && slices.ContainsFunc(addresses, isSocket) {
		return nil, fmt.Errorf("weft at %s: Envoy does not take sockets and names to resolve together", c.Weft)
	}
	weft := cluster(weftCluster, addresses, c.weftOptions)
	var err error
	weft.TransportSocket, err = c.TLS.transportSocket()
	return weft, err
}

// weftOptions: HTTP/2 for gRPC, and as many exchanges at once as there are requests. Each is a stream here, so that the
// default limit of 1,024 would let the excess pass without weft.
func (c Config) weftOptions(weft *clusterv3.Cluster) {
	weft.ConnectTimeout = seconds(1)
	weft.CircuitBreakers = thresholds(&clusterv3.CircuitBreakers_Thresholds{
		MaxConnections:     wrapperspb.UInt32(65536),
		MaxPendingRequests: wrapperspb.UInt32(65536),
		MaxRequests:        wrapperspb.UInt32(65536),
	})
	weft.TypedExtensionProtocolOptions = protocolOptions(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: explicit(&httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
				Http2ProtocolOptions: &corev3.Http2ProtocolOptions{MaxConcurrentStreams: wrapperspb.UInt32(c.WeftStreams)},
			},
		}),
	})
	// An instance that says that it stops gets no new exchanges from the next check on, one that does not answer from the
	// second. That is less than weft's drain window.
	weft.HealthChecks = []*corev3.HealthCheck{{
		Timeout:            seconds(1),
		Interval:           seconds(1),
		NoTrafficInterval:  seconds(1), // the default, a minute, would let the first clients find out
		UnhealthyThreshold: wrapperspb.UInt32(2),
		HealthyThreshold:   wrapperspb.UInt32(1),
		HealthChecker: &corev3.HealthCheck_GrpcHealthCheck_{
			GrpcHealthCheck: &corev3.HealthCheck_GrpcHealthCheck{ServiceName: extprocv3.ExternalProcessor_ServiceDesc.ServiceName},
		},
	}}
	// When no instance is left, all are tried: one that stops still takes exchanges, and one that is not there costs nothing.
	weft.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{HealthyPanicThreshold: &typev3.Percent{Value: 1}}
}
