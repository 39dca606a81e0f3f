package harness

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

func startContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestMongod(t *testing.T) {
	ctx, dir := startContext(t), t.TempDir()
	mongod, err := StartMongod(ctx, MongodOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := mongod.Seed(ctx); err != nil {
		t.Error(err)
	}
	count, err := mongod.Run(ctx, "user_profiles", bson.D{{Key: "count", Value: "profiles"}})
	if err != nil || count.Lookup("n").AsInt64() != Users {
		t.Errorf("seeded: %s, %v", count, err)
	}

	port := mongod.options.Port
	if _, err := StartMongod(ctx, MongodOptions{Dir: t.TempDir(), Port: port}); !errors.Is(err, ErrPortBusy) ||
		!strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Errorf("a second mongod on the same port: %v, want a busy port %d", err, port)
	}
	if _, err := StartMongod(ctx, MongodOptions{Dir: dir, Log: t.TempDir() + "/log"}); err == nil ||
		!strings.Contains(err.Error(), "DBPathInUse") {
		t.Errorf("a second mongod in the same directory: %v, want mongod's error", err)
	}

	if err := mongod.Kill(); err != nil {
		t.Error(err)
	}
	again, err := StartMongod(ctx, mongod.options)
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	if err := again.Stop(30 * time.Second); err != nil {
		t.Error(err)
	}
	if err := again.Err(); err != nil {
		t.Errorf("a clean stop ends with %v", err)
	}
}

func TestRedis(t *testing.T) {
	ctx := startContext(t)
	server, err := StartRedis(ctx, RedisOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.Run(ctx, "SET", "k", "v"); err != nil {
		t.Error(err)
	}
	if got, err := server.Run(ctx, "GET", "k"); got != "v" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := StartRedis(ctx, server.Options); !errors.Is(err, ErrPortBusy) {
		t.Errorf("a second redis-server on the same port: %v", err)
	}
	if err := server.Kill(); err != nil {
		t.Error(err)
	}
	again, err := StartRedis(ctx, server.Options)
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	if err := again.Stop(30 * time.Second); err != nil || again.Err() != nil {
		t.Error(err, again.Err())
	}
}

func TestEnvoy(t *testing.T) {
	ctx := startContext(t)
	envoy, err := StartEnvoy(ctx, EnvoyOptions{Dir: t.TempDir(), Bootstrap: []byte(`
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: front
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: front
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{match: {prefix: /}, direct_response: {status: 200, body: {inline_string: woven}}}]
`)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := envoy.Stop(30 * time.Second); err != nil {
			t.Error(err)
		}
		if !gone(envoy.Pid()) {
			t.Error("Envoy still exists after Stop")
		}
	}()
	address, err := envoy.ListenerAddr(ctx, "front")
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := Get(ctx, "http://"+address); err != nil || answer.Body != "woven" {
		t.Errorf("response of the listener: %s (%v)", answer, err)
	}
	if n, err := envoy.Stat(ctx, "http.front.downstream_rq_total"); err != nil || n != 1 {
		t.Errorf("Envoy counts %d requests (%v), want 1", n, err)
	}
	if _, err := envoy.Stat(ctx, "http.front.downstream_rq"); err == nil {
		t.Error("no error for a part of a name")
	}
	if _, err := envoy.ListenerAddr(ctx, "back"); err == nil || !strings.Contains(err.Error(), `"back"`) {
		t.Errorf("an unknown listener: %v", err)
	}
}

func TestEnvoyRejectsBootstrap(t *testing.T) {
	_, err := StartEnvoy(startContext(t), EnvoyOptions{Dir: t.TempDir(), Bootstrap: []byte("nonsense: 1")})
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an invalid bootstrap: %v, want Envoy's log", err)
	}
}

func TestToolUnknown(t *testing.T) {
	const known = "envoy, mongod, redis-server, prometheus, promtool and grafana_foundation_sdk"
	if _, err := Tool("nginx"); err == nil || !strings.Contains(err.Error(), known) {
		t.Errorf("an unknown tool: %v", err)
	}
}

func TestToolOutsideRepository(t *testing.T) {
	t.Chdir(t.TempDir())
	if _, err := Tool("envoy"); err == nil || !strings.Contains(err.Error(), "make tools") {
		t.Errorf("outside the repository: %v, want an error that mentions make tools", err)
	}
}

func TestCheckPort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.Addr().(*net.TCPAddr).Port
	if err := CheckPort(port); !errors.Is(err, ErrPortBusy) || !strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Errorf("a busy port: %v", err)
	}
	if err := CheckPort(99999); err == nil || errors.Is(err, ErrPortBusy) {
		t.Errorf("a port that does not exist: %v", err)
	}
}
