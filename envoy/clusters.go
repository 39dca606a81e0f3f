package envoy

import (
	"cmp"
	"fmt"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3" // in clusters.yaml.tmpl
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

// weftCluster returns the cluster of weft, or nil if weft is a module.
func weftCluster(c Config) (*clusterv3.Cluster, error) {
	if c.Module != nil {
		return nil, nil
	}
	weft, err := cluster(c, "weft", strings.Split(c.Weft, ",")...)
	return weft, cmp.Or(err, c.TLS.validate())
}

// cluster returns a cluster with an endpoint for each address. See clusters.yaml.tmpl.
func cluster(c Config, name string, addresses ...string) (*clusterv3.Cluster, error) {
	var endpoints []*corev3.Address
	names, sockets := false, false
	for _, s := range addresses {
		a, err := address(strings.TrimSpace(s))
		if err != nil {
			return nil, err
		}
		names, sockets = names || isName(a), sockets || a.GetPipe() != nil
		endpoints = append(endpoints, a)
	}
	if names && sockets {
		return nil, fmt.Errorf("%s at %s: Envoy does not accept sockets and host names in one cluster",
			name, strings.Join(addresses, ","))
	}
	cluster := &clusterv3.Cluster{}
	err := merge(cluster, "cluster", map[string]any{"Name": name, "Endpoints": endpoints, "ResolvesNames": names})
	return cluster, cmp.Or(err, merge(cluster, name, c))
}
