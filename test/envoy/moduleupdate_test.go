//go:build cgo

package envoy_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// heldCollector is an OTLP receiver that does not respond.
type heldCollector struct {
	collectorv1.UnimplementedTraceServiceServer
	asked chan struct{}
}

func (c *heldCollector) Export(
	ctx context.Context, _ *collectorv1.ExportTraceServiceRequest,
) (*collectorv1.ExportTraceServiceResponse, error) {
	close(c.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

// TestModuleUpdate: a listener with other flags replaces one under which traces have not been exported. Envoy does not
// wait until they are.
func TestModuleUpdate(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	collector := &heldCollector{asked: make(chan struct{})}
	server := grpc.NewServer()
	collectorv1.RegisterTraceServiceServer(server, collector)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	t.Setenv("WEFT_OTLP_ENDPOINT", "http://"+listener.Addr().String())
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000") // export only at the end

	name := filepath.Join(t.TempDir(), "listeners.json")
	write := func(listeners []byte) {
		t.Helper()
		if err := os.WriteFile(name+".new", listeners, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil { // Envoy watches moves
			t.Fatal(err)
		}
	}
	var listeners []byte
	s, _ := startModule(t, userprofile.Rules, systemOptions{
		args: []string{"--drain-time-s", "1"},
		change: func(b *bootstrapv3.Bootstrap) {
			resource, err := anypb.New(b.GetStaticResources().GetListeners()[0])
			if err != nil {
				t.Fatal(err)
			}
			listeners, err = protojson.Marshal(&discoveryv3.DiscoveryResponse{Resources: []*anypb.Any{resource}})
			if err != nil {
				t.Fatal(err)
			}
			write(listeners)
			b.StaticResources.Listeners = nil
			b.DynamicResources = &bootstrapv3.Bootstrap_DynamicResources{LdsConfig: &corev3.ConfigSource{
				ConfigSourceSpecifier: &corev3.ConfigSource_PathConfigSource{
					PathConfigSource: &corev3.PathConfigSource{Path: name},
				},
			}}
		},
	})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	got := s.get(t, "/api/v1/users/7", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	checkAnswer(t, "200\nx-weft: composed\n\n"+compositeUser7, "", got)

	write(bytes.ReplaceAll(listeners, []byte(`"mongodb-uri"`), []byte(`"log-level":"debug","mongodb-uri"`)))
	<-collector.asked
	_, err = harness.Get(t.Context(), s.Envoy.Admin()+"/ready") // Envoy's main thread responds
	log, readErr := os.ReadFile(s.Envoy.Log())
	if err = errors.Join(err, readErr); err != nil || bytes.Contains(log, []byte("msg=stopped")) {
		t.Errorf("%v; Envoy waited for the collector:\n%s", err, log)
	}
}
