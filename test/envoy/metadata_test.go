package envoy_test

import (
	"slices"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"weft/enrich"
	"weft/envoy/defaults"
	"weft/extproc"
	"weft/internal/rulesfile"
)

// TestMetadata: Envoy sends weft another budget than that of the rules file, and the name of the rule whose route a
// request took if the request can match another rule, too; the built-in rules need neither.
func TestMetadata(t *testing.T) {
	byName := *rulesfile.Builtin().Rules[1]
	byName.Name = "by-name"
	byName.Path, _ = enrich.ParseTemplate("/api/v3/composite-profile/{name:string}")
	for name, test := range map[string]struct {
		rules   []*enrich.Rule
		message time.Duration
		budget  []string
		rule    []string // of composite-profile
	}{
		"built-in":        {rulesfile.Builtin().Rules, defaults.MessageTimeout, nil, nil},
		"another timeout": {rulesfile.Builtin().Rules, 20 * time.Second, []string{"18s"}, nil},
		"ambiguous": {
			append(rulesfile.Builtin().Rules, byName.Ready()), defaults.MessageTimeout, nil, []string{"composite-profile"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSystem(t, systemOptions{rules: test.rules, message: test.message})
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
			for path, rule := range map[string][]string{"/api/v1/users/7": nil, "/api/v3/composite-profile/7": test.rule} {
				s.get(t, path)
				got := <-recorder.got
				if budget := got.Get(extproc.BudgetHeader); !slices.Equal(budget, test.budget) {
					t.Errorf("%s has the budget %q, want %q", path, budget, test.budget)
				}
				if name := got.Get(extproc.RuleHeader); !slices.Equal(name, rule) {
					t.Errorf("%s has the rule %q, want %q", path, name, rule)
				}
			}
		})
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
