package envoy

import (
	"cmp"
	"fmt"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3" // in clusters.yaml.tmpl
	"google.golang.org/protobuf/types/known/durationpb"
)

// clusters returns the clusters of a standalone Envoy.
func clusters(c Config) ([]*clusterv3.Cluster, error) {
	legacy, err := cluster(c, "legacy", c.Legacy)
	clusters := []*clusterv3.Cluster{legacy}
	if c.Module == nil {
		weft, weftErr := weftCluster(c)
		clusters, err = append(clusters, weft), cmp.Or(err, weftErr)
	}
	if c.Collector != "" {
		collector, collectorErr := cluster(c, "otlp", c.Collector)
		clusters, err = append(clusters, collector), cmp.Or(err, collectorErr)
	}
	return clusters, err
}

func weftCluster(c Config) (*clusterv3.Cluster, error) {
	weft, err := cluster(c, "weft", strings.Split(c.Weft, ",")...)
	return weft, cmp.Or(err, c.TLS.validate())
}

// cluster returns a cluster with an endpoint for each address. Its other fields are in clusters.yaml.tmpl.
func cluster(c Config, name string, addresses ...string) (*clusterv3.Cluster, error) {
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
	cluster := &clusterv3.Cluster{
		Name:                 name,
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC},
		ConnectTimeout:       &durationpb.Duration{Seconds: 1},
		LoadAssignment: &endpointv3.ClusterLoadAssignment{
			ClusterName: name, Endpoints: []*endpointv3.LocalityLbEndpoints{endpoints},
		},
	}
	switch {
	case names && sockets:
		return nil, fmt.Errorf("%s at %s: Envoy does not accept sockets and host names in one cluster",
			name, strings.Join(addresses, ","))
	case names:
		cluster.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STRICT_DNS}
		cluster.DnsLookupFamily = clusterv3.Cluster_V4_PREFERRED
	}
	return cluster, merge(cluster, name, c)
}
