package cli

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"weft/envoy"
	"weft/internal/rulesfile"
)

// TestNewRoutesAreReported: weft envoy is not silent about routes that no SecurityPolicy covers.
func TestNewRoutesAreReported(t *testing.T) {
	rules := rulesfile.Builtin().Rules // one with a legacy_path, and one without
	for attach, want := range map[string][]string{
		"": {
			"weft-user, weft-composite-profile, weft-composite-profile-other: no SecurityPolicy",
			"With --attach httproute/NAME",
		},
		"httproute/users": {"weft: new HTTPRoutes weft-composite-profile, weft-composite-profile-other: no SecurityPolicy"},
	} {
		var stderr bytes.Buffer
		warnOfNewRoutes(&stderr, envoy.GatewayOptions{Attach: attach}, rules)
		if got := strings.Count(stderr.String(), "\n"); got != len(want) {
			t.Errorf("--attach %q: %d lines, want %d:\n%s", attach, got, len(want), &stderr)
		}
		for _, text := range want {
			if !strings.Contains(stderr.String(), text) {
				t.Errorf("--attach %q: %q is not in\n%s", attach, text, &stderr)
			}
		}
	}
	var stderr bytes.Buffer
	warnOfNewRoutes(&stderr, envoy.GatewayOptions{Attach: "httproute/users"}, rules[:1])
	if stderr.Len() > 0 {
		t.Errorf("it makes no routes: %s", &stderr)
	}
}

// TestFlagOfAnotherFormat: a flag that has no effect is an error.
func TestFlagOfAnotherFormat(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"--attach httproute/users", "weft: --attach is for --format gateway, not bootstrap"},
		{"--format istio --mode module", ""},
		{"--module-library /libweft.so", "weft: --module-library is for --mode module, not ext_proc"},
		{"--mode module --weft weft:50051", "weft: --weft is for --mode ext_proc, not module"},
		{"--mode module --weft-tls-ca ca.pem", "weft: --weft-tls-ca is for --mode ext_proc, not module"},
		{"--mode module --weft-max-streams 9", "weft: --weft-max-streams is for --mode ext_proc, not module"},
		{"--mode module", ""},
		{`--mode module --module-config {"listen":""}`, `weft: --module-config: unknown member "listen"; use one of rules, `},
		{"--format istio --trusted-hops 3", "weft: --trusted-hops is for --format bootstrap, not istio"},
		{"--format bootstrap --namespace shop", "weft: --namespace is for --format istio, gateway, not bootstrap"},
		{"--format istio --namespace shop", ""},
		{"--format gateway --legacy users:8080 --weft weft:50051", "weft: new HTTPRoutes"},
	} {
		var stderr strings.Builder
		Run(t.Context(), append([]string{"weft", "envoy"}, strings.Fields(test.args)...), io.Discard, &stderr, "test")
		if !strings.HasPrefix(stderr.String(), test.want) || test.want == "" && stderr.String() != "" {
			t.Errorf("%s: %q, want %q", test.args, stderr.String(), test.want)
		}
	}
}
