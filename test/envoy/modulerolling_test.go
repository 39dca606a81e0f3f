//go:build cgo

package envoy_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"weft/envoy"
	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// TestModuleRollingReplacement replaces Envoy's instances one by one under load, behind an Envoy as load balancer:
// those with weft as external processor by those with the module, these by new ones, and back. All responses are
// composed.
func TestModuleRollingReplacement(t *testing.T) {
	s, file := startModule(t, userprofile.Rules, systemOptions{})
	s.startWeft(mongod.URI())
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	lib, err := library()
	if err != nil {
		t.Fatal(err)
	}
	module := &envoy.Module{Library: lib, Flags: map[string]any{"rules": file, "mongodb-uri": mongod.URI(), "admin": ""}}
	instances := []*instance{newInstance(t, s), newInstance(t, s)}
	for _, i := range instances {
		i.start(nil)
	}
	balancer := startBalancer(t, s, instances)
	url := s.URL
	load := harness.StartLoad(4, func(client *http.Client, _ int) bool {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/users/7", http.NoBody)
		if err != nil {
			t.Error(err)
			return false
		}
		got, err := harness.Do(client, request)
		if err != nil {
			t.Error(err)
			return false
		}
		checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", got)
		return !t.Failed()
	})
	t.Cleanup(load.Stop)
	for _, next := range []*envoy.Module{module, module, nil} {
		for _, i := range instances {
			i.stop(balancer)
			i.start(next)
			balancer.expectHealthy(2)
			harness.Eventually(t, "the new instance composes", func() bool {
				return i.stat("http.main.downstream_rq_2xx") > 0
			})
		}
	}
	load.Stop()
}

// instance is an Envoy that is replaced by another one with the same addresses.
type instance struct {
	t             testing.TB
	s             *system
	listen, admin string
	envoy         *harness.Envoy
}

func newInstance(t testing.TB, s *system) *instance {
	t.Helper()
	i := &instance{t: t, s: s}
	for _, addr := range []*string{&i.listen, &i.admin} {
		var err error
		if *addr, err = harness.FreeAddr(); err != nil {
			t.Fatal(err)
		}
	}
	return i
}

// start starts an Envoy with the module or, if that is nil, with weft as external processor.
func (i *instance) start(module *envoy.Module) {
	i.t.Helper()
	bootstrap, err := envoy.Bootstrap(envoy.Config{
		Rules: i.s.rules, Listen: i.listen, Admin: i.admin, Legacy: i.s.legacy.addr, Weft: i.s.Socket, Module: module,
	})
	if err != nil {
		i.t.Fatal(err)
	}
	text, err := envoy.YAML(bootstrap)
	if err != nil {
		i.t.Fatal(err)
	}
	if err := i.s.StartEnvoyWith(i.t.Context(), text); err != nil {
		i.t.Fatal(err)
	}
	i.envoy = i.s.Envoy
}

// stop ends the Envoy when it gets no requests any more, because its readiness fails.
func (i *instance) stop(b *balancer) {
	i.t.Helper()
	response, err := http.Post(i.envoy.Admin()+"/healthcheck/fail", "", nil)
	if err != nil {
		i.t.Fatal(err)
	}
	_ = response.Body.Close()
	b.expectHealthy(1)
	// The balancer's worker learns it later than the statistic: other requests pass first.
	harness.Eventually(i.t, "the instance gets no requests", func() bool {
		before, last := b.stat("http.balancer.downstream_rq_total"), i.stat("http.main.downstream_rq_total")
		harness.Eventually(i.t, "the other instance gets requests", func() bool {
			return b.stat("http.balancer.downstream_rq_total") >= before+50
		})
		return i.stat("http.main.downstream_rq_total") == last
	})
	if err := i.envoy.AwaitIdle(i.t.Context()); err != nil {
		i.t.Fatal(err)
	}
	if err := i.envoy.Signal(syscall.SIGTERM); err != nil {
		i.t.Fatal(err)
	}
	<-i.envoy.Done()
	if err := i.envoy.Err(); err != nil {
		i.t.Errorf("Envoy ended with %v, want exit status 0", err)
	}
}

func (i *instance) stat(name string) int {
	i.t.Helper()
	n, err := i.envoy.Stat(i.t.Context(), name)
	if err != nil {
		i.t.Fatal(err)
	}
	return n
}

// balancer is an Envoy that sends requests to the instances that are ready.
type balancer struct {
	t testing.TB
	*harness.Envoy
}

// managerType is the type of Envoy's connection manager.
const managerType = "type.googleapis.com/" +
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

func startBalancer(t testing.TB, s *system, instances []*instance) *balancer {
	t.Helper()
	var endpoints strings.Builder
	for _, i := range instances {
		listen, admin := strings.TrimPrefix(i.listen, "127.0.0.1:"), strings.TrimPrefix(i.admin, "127.0.0.1:")
		fmt.Fprintf(&endpoints, `
              - endpoint:
                  address: {socket_address: {address: 127.0.0.1, port_value: %s}}
                  health_check_config: {port_value: %s}`, listen, admin)
	}
	err := s.StartEnvoyWith(t.Context(), fmt.Appendf(nil, `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
    - name: main
      address: {socket_address: {address: 127.0.0.1, port_value: 0}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": `+managerType+`
                stat_prefix: balancer
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: [{match: {prefix: /}, route: {cluster: instances, timeout: 60s}}]
                http_filters:
                  - name: router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: instances
      common_lb_config: {healthy_panic_threshold: {value: 0}}
      health_checks:
        - timeout: 10s
          interval: 0.1s
          no_traffic_interval: 0.1s
          healthy_threshold: 1
          unhealthy_threshold: 1
          http_health_check: {path: /ready}
      load_assignment:
        cluster_name: instances
        endpoints:
          - lb_endpoints:%s
`, endpoints.String()), "--concurrency", "1")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{t, s.Envoy}
	b.expectHealthy(2)
	return b
}

func (b *balancer) expectHealthy(instances int) {
	b.t.Helper()
	harness.Eventually(b.t, fmt.Sprintf("%d instances are ready", instances), func() bool {
		return b.stat("cluster.instances.membership_healthy") == instances
	})
}

func (b *balancer) stat(name string) int {
	b.t.Helper()
	n, err := b.Stat(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}
