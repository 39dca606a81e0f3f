package envoy

import (
	"cmp"
	"slices"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/extproc"
)

// ListenerName is the name of the listener, and the prefix of its statistics.
const ListenerName = "main"

// Bootstrap returns the configuration of a standalone Envoy in front of a legacy service: a listener, a route for each
// rule and one for all other requests, and clusters for weft and the legacy service.
func Bootstrap(c Config) (*bootstrapv3.Bootstrap, error) {
	c = c.withDefaults()
	listen, listenErr := address(c.Listen)
	admin, adminErr := address(c.Admin)
	clusters, clustersErr := clusters(c)
	if err := cmp.Or(listenErr, adminErr, clustersErr); err != nil {
		return nil, err
	}
	b := &bootstrapv3.Bootstrap{
		Node:  &corev3.Node{Id: "weft", Cluster: "weft"}, // without a node, Envoy reads no secrets from files
		Admin: &bootstrapv3.Admin{Address: admin},
		StaticResources: &bootstrapv3.Bootstrap_StaticResources{
			Listeners: []*listenerv3.Listener{{
				Name:                          ListenerName,
				Address:                       listen,
				PerConnectionBufferLimitBytes: wrapperspb.UInt32(bufferLimit(c)),
				FilterChains: []*listenerv3.FilterChain{{
					Filters: []*listenerv3.Filter{connectionManagerFilter(connectionManager(c))},
				}},
			}},
			Clusters: clusters,
		},
		LayeredRuntime: runtime(),
	}
	return b, b.ValidateAll()
}

// runtime allows regular expressions as large as Istio's sidecars do, in instructions of RE2: Envoy's default rejects a
// path with one UUID. The layer of the admin interface would be there by default, but not together with another.
func runtime() *bootstrapv3.LayeredRuntime {
	return &bootstrapv3.LayeredRuntime{Layers: []*bootstrapv3.RuntimeLayer{
		{Name: "weft", LayerSpecifier: &bootstrapv3.RuntimeLayer_StaticLayer{StaticLayer: &structpb.Struct{
			Fields: map[string]*structpb.Value{"re2.max_program_size.error_level": structpb.NewNumberValue(32768)},
		}}},
		{Name: "admin", LayerSpecifier: &bootstrapv3.RuntimeLayer_AdminLayer_{
			AdminLayer: &bootstrapv3.RuntimeLayer_AdminLayer{},
		}},
	}}
}

// bufferLimit returns how many bytes of a body Envoy must be able to buffer.
func bufferLimit(c Config) uint32 {
	limit := 0
	for _, r := range c.Rules {
		limit = max(limit, r.CoreLimit)
	}
	return uint32(limit) + extproc.BufferSlack
}

const connectionManagerName = "envoy.filters.network.http_connection_manager"

func connectionManagerFilter(m *hcmv3.HttpConnectionManager) *listenerv3.Filter {
	return &listenerv3.Filter{
		Name:       connectionManagerName,
		ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: marshalAny(m)},
	}
}

func connectionManager(c Config) *hcmv3.HttpConnectionManager {
	return &hcmv3.HttpConnectionManager{
		StatPrefix:     ListenerName,
		RouteSpecifier: &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: routes(c)},
		HttpFilters: slices.Concat(c.Filters, fallbackFilters(c.Rules),
			[]*hcmv3.HttpFilter{extProcFilter(c), routerFilter()}),
		LocalReplyConfig: localReplies(c),
		// Clients do not change: one that speaks HTTP/1.0 got answers before Envoy was there.
		HttpProtocolOptions: &corev3.Http1ProtocolOptions{AcceptHttp_10: true, DefaultHostForHttp_10: "localhost"},
		Http2ProtocolOptions: &corev3.Http2ProtocolOptions{
			// Over HTTP/2 Envoy buffers as much of a response as this, whatever the limit of the connection.
			InitialStreamWindowSize: wrapperspb.UInt32(bufferLimit(c)),
		},
		Tracing:   tracing(c),
		AccessLog: accessLog(),
	}
}

// marshalAny packs a message. Its output is deterministic: see [Fingerprint].
func marshalAny(m proto.Message) *anypb.Any {
	a := &anypb.Any{}
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(err) // for a string that is not UTF-8; addresses and rules are validated before
	}
	return a
}
