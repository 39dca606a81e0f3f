package envoy_test

import (
	"slices"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"weft/envoy"
	"weft/extproc"
)

// TestMetadata: each stream has the values of the filter and of the route of its rule, once each.
func TestMetadata(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.weft.Stop()
	listener, err := extproc.Listen(s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	recorder := metadataRecorder{got: make(chan metadata.MD, 1)}
	server := grpc.NewServer()
	extprocv3.RegisterExternalProcessorServer(server, recorder)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)

	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	for path, rule := range map[string]string{"/api/v1/users/7": "user", "/api/v3/composite-profile/7": "composite-profile"} {
		s.get(t, path)
		got := <-recorder.got
		for key, want := range map[string]string{
			extproc.BudgetHeader: "18s", extproc.ConfigHeader: envoy.Fingerprint(s.rules), extproc.RuleHeader: rule,
		} {
			if values := got.Get(key); !slices.Equal(values, []string{want}) {
				t.Errorf("%s has %s %q, want %q once", path, key, values, want)
			}
		}
	}
}

// metadataRecorder is an external processor that ends each stream at once.
type metadataRecorder struct {
	extprocv3.UnimplementedExternalProcessorServer
	got chan metadata.MD
}

func (r metadataRecorder) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	md, _ := metadata.FromIncomingContext(stream.Context())
	r.got <- md
	return nil
}
