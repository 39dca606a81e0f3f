package envoy

import (
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/extproc"
)

// Names of things in the configuration.
const (
	ListenerName = "main"
	weftCluster  = "weft"
)

// Bootstrap returns the whole configuration of an Envoy that stands alone in front of a legacy service: one listener,
// a route for each rule and one for all else, weft and the legacy service as clusters.
func Bootstrap(c Config) (*bootstrapv3.Bootstrap, error) {
	c = c.ready()
	listen, err := address(c.Listen)
	if err != nil {
		return nil, err
	}
	admin, err := address(c.Admin)
	if err != nil {
		return nil, err
	}
	legacy, err := address(c.Legacy)
	if err != nil {
		return nil, err
	}
	weft, err := c.clusterOfWeft()
	if err != nil {
		return nil, err
	}

	b := &bootstrapv3.Bootstrap{
		Node:  &corev3.Node{Id: "weft", Cluster: "weft"},
		Admin: &bootstrapv3.Admin{Address: admin},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Listeners: []*listenerv3.Listener{{
				Name:                          ListenerName,
				Address:                       listen,
				PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit(c)),
				FilterChains: []*listenerv3.FilterChain{{
					Filters: []*listenerv3.Filter{{
						Name:       "envoy.filters.network.http_connection_manager",
						ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(connectionManager(c))},
					}},
				}},
			}},
			Clusters: []*clusterv3.Cluster{cluster(c.legacyCluster, []*corev3.Address{legacy}, legacyOptions), weft},
		},
		LayeredRuntime: runtime(),
	}
	if c.Collector != "" {
		collector, err := address(c.Collector)
		if err != nil {
			return nil, err
		}
		b.StaticResources.Clusters = append(b.StaticResources.Clusters, cluster(collectorCluster, []*corev3.Address{collector}, collectorOptions))
	}
	return b, b.ValidateAll()
}

// runtime lets the patterns of paths be as large as those of Istio's sidecars: Envoy's default refuses a single UUID. The
// layer of the admin interface is there unless others are named.
func runtime() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{
		{Name: "weft", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{
			Fields: map[string]*structpb.Value{"re2.max_program_size.error_level": structpb.NewNumberValue(maxPatternSize)},
		}}},
		{Name: "admin", LayerSpecifier: &bootstrapv3.RuntimeLayer_AdminLayer_{AdminLayer: &bootstrapv3.RuntimeLayer_AdminLayer{}}},
	}}
}

// maxPatternSize is in instructions of RE2.
const maxPatternSize = 32768

// bufferLimit is what Envoy may buffer of a body, in bytes.
func bufferLimit(c Config) uint32 {
	limit := 0
	for _, r := range c.Rules {
		limit = max(limit, r.CoreLimit)
	}
	return uint32(limit) + extproc.BufferSlack
}

func connectionManager(c Config) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix:       ListenerName,
		RouteSpecifier:   &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes(c)},
		HttpFilters:      slices.Concat(c.Filters, fallbackFilters(c), []*hcmv3.HttpFilter{extProcFilter(c), routerFilter()}),
		LocalReplyConfig: localReplies(c),
		// Clients do not change: one that is old enough to speak HTTP/1.0 got an answer before.
		HttpProtocolOptions: &corev3.Http1ProtocolOptions{AcceptHttp_10: true, DefaultHostForHttp_10: "localhost"},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			// Over HTTP/2 this, and not the limit of the connection, is what Envoy buffers of a response.
			InitialStreamWindowSize: wrapperspb.UInt32(bufferLimit(c)),
		},
		Tracing:   tracing(c),
		AccessLog: accessLog(),
	}
}

// cluster has an endpoint for each address, and what options add.
func cluster(name string, addresses []*corev3.Address, options func(*clusterv3.Cluster)) *clusterv3.Cluster {
	c := &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		LoadAssignment:       &endpointv3.ClusterLoadAssignment{ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{{}}},
	}
	for _, a := range addresses {
		c.LoadAssignment.Endpoints[0].LbEndpoints = append(c.LoadAssignment.Endpoints[0].LbEndpoints, &endpointv3.LbEndpoint{
			HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: a}},
		})
	}
	if slices.ContainsFunc(addresses, isName) {
		c.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
		c.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
	}
	options(c)
	return c
}

// legacyOptions protect the legacy service: no more than so many requests at once, and an endpoint that keeps failing
// gets a rest. Where it is the only endpoint, as here, the panic threshold lets requests through all the same.
func legacyOptions(c *clusterv3.Cluster) {
	c.ConnectTimeout = seconds(1)
	c.CircuitBreakers = thresholds(&clusterv3.CircuitBreakers_Thresholds{
		MaxConnections:     wrapperspb.UInt32(1024),
		MaxPendingRequests: wrapperspb.UInt32(1024),
		MaxRequests:        wrapperspb.UInt32(1024),
		RetryBudget: &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent:       &typev3.Percent{Value: 20},
			MinRetryConcurrency: wrapperspb.UInt32(3),
		},
	})
	c.TypedExtensionProtocolOptions = protocolOptions(&httpv3.HttpProtocolOptions{
		// A legacy service may have a lot to say. Over the default of 60 KiB or 100 headers it would count as failed.
		CommonHttpProtocolOptions: &corev3.HttpProtocolOptions{
			MaxResponseHeadersKb: wrapperspb.UInt32(1024),
			MaxHeadersCount:      wrapperspb.UInt32(1000),
		},
		UpstreamProtocolOptions: explicit(&httpv3.HttpProtocolOptions_ExplicitHttpConfig{
			ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
				HttpProtocolOptions: &corev3.Http1ProtocolOptions{},
			},
		}),
	})
	c.OutlierDetection = &clusterv3.OutlierDetection{
		Consecutive_5Xx:    wrapperspb.UInt32(5),
		BaseEjectionTime:   seconds(5),
		MaxEjectionPercent: wrapperspb.UInt32(50),
	}
}

func protocolOptions(o *httpv3.HttpProtocolOptions) map[string]*anypb.Any {
	return map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(o)}
}

func explicit(c *httpv3.HttpProtocolOptions_ExplicitHttpConfig) *httpv3.HttpProtocolOptions_ExplicitHttpConfig_ {
	return &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{ExplicitHttpConfig: c}
}

func thresholds(t *clusterv3.CircuitBreakers_Thresholds) *clusterv3.CircuitBreakers {
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{t}}
}

func seconds(n int64) *durationpb.Duration { return &durationpb.Duration{Seconds: n} }

// packed wraps a message of this package's making.
func packed(m proto.Message) *anypb.Any {
	a := &anypb.Any{}
	// The same rules make the same bytes: see Fingerprint.
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(err) // for a text that is not UTF-8, which addresses and rules are checked for
	}
	return a
}
