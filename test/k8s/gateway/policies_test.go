package gateway_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"weft/test/harness"
	"weft/test/k8s"
)

// routesFile returns the path of the output of weft envoy in the overlay.
func routesFile(t *testing.T) string { return k8s.Path(t, "k8s", "overlays", "gateway", "routes.yaml") }

// policies returns existing objects of a user: a token is required and verified, requests and responses get a header,
// and the Gateway limits requests and has an extension.
func policies(issuer *k8s.Issuer) string {
	return `---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: SecurityPolicy
metadata: {name: jwt, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: legacy}]
` + verification(issuer) + `
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: BackendTrafficPolicy
metadata: {name: limit, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  rateLimit:
    type: Local
    local:
      rules:
        - clientSelectors: [{headers: [{name: x-limited, value: "yes"}]}]
          limit: {requests: 1, unit: Hour}
---
apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: {name: mark, namespace: shop}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: eg}]
  lua:
    - type: Inline
      inline: |
        function envoy_on_response(response) response:headers():replace("x-gateway", "marked") end
`
}

// verification returns the part of a SecurityPolicy that verifies tokens.
func verification(issuer *k8s.Issuer) string {
	return `  jwt:
    providers: [{name: issuer, issuer: issuer, localJWKS: {type: Inline, inline: '` + issuer.JWKS() + `'}}]`
}

// filters is an HTTPRoute with filters and a timeout, which replaces that of the overlay.
const filters = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: legacy, namespace: shop}
spec:
  parentRefs: [{name: eg}]
  rules:
    - name: users
      matches: [{path: {type: PathPrefix, value: /api/v1/users}}]
      filters:
        - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-team, value: blue}]}}
        - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-answer, value: filtered}]}}
      timeouts: {request: 30s}
      backendRefs:
        - name: legacy
          port: 8080
    - name: rest
      backendRefs:
        - name: legacy
          port: 8080
---
`

// overlay returns the objects of the overlay, with the HTTPRoute above and additional objects, and with or without
// weft's.
func overlay(t *testing.T, isWithWeft bool, more string) string {
	t.Helper()
	routes, err := os.ReadFile(routesFile(t))
	if err != nil {
		t.Fatal(err)
	}
	replaced := map[string]bool{"HTTPRoute legacy": true}
	for _, o := range k8s.Objects(t, routes) {
		replaced[o.Kind+" "+o.Metadata.Name] = !isWithWeft
	}
	var text strings.Builder
	for _, o := range k8s.Objects(t, k8s.Overlay(t, "gateway")) {
		if !replaced[o.Kind+" "+o.Metadata.Name] {
			text.Write(o.YAML)
			text.WriteString("\n---\n")
		}
	}
	return withBackends(t, []byte(text.String()+filters+more))
}

// TestPolicies: policies of an HTTPRoute and its Gateway still apply when weft is attached.
func TestPolicies(t *testing.T) {
	s := k8s.NewSystem(t)
	dir := certificate(t)
	s.StartWeft(k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "gateway"))["weft"]),
		"WEFT_TLS_CERT="+filepath.Join(dir, "tls.crt"), "WEFT_TLS_KEY="+filepath.Join(dir, "tls.key"))
	issuer, other := k8s.NewIssuer(t), k8s.NewIssuer(t)
	u := harness.NewUser(7)
	for _, test := range []struct {
		name           string
		isWithWeft     bool
		mark, body     string
		markOfRejected string
	}{
		{"before", false, "", u.Core, ""},
		{"after", true, "composed", u.Composite(), "passed; reason=local-reply"},
	} {
		t.Run(test.name, func(t *testing.T) {
			gateway, base, _ := startGateway(t, s, overlay(t, test.isWithWeft, policies(issuer)), extensions, dir)
			defer func() { _ = gateway.Stop(20 * time.Second) }()
			token := []string{"Authorization", issuer.Bearer("alice")}
			url := base + "/api/v1/users/7"
			k8s.Expect(t, url, 401, "", "Jwt is missing")
			k8s.Expect(t, url, 401, "", "Jwt verification fails", "Authorization", other.Bearer("alice"))
			answer := k8s.Expect(t, url, 200, test.mark, test.body, token...)
			for name, want := range map[string]string{"X-Answer": "filtered", "X-Gateway": "marked"} {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if got := s.LastRequest().Header.Get("X-Team"); got != "blue" {
				t.Errorf("the legacy service got x-team %q", got)
			}
			k8s.Expect(t, url, 200, test.mark, test.body, append(token, "x-limited", "yes")...)
			k8s.Expect(t, url, 429, test.markOfRejected, "local_rate_limited", append(token, "x-limited", "yes")...)
			k8s.Expect(t, base+"/other", 401, "", "Jwt is missing")
			k8s.Expect(t, base+"/other", 200, "", "legacy: GET /other", token...)
		})
	}
}

// TestNewRoutes: a SecurityPolicy does not cover new routes. The output of weft envoy has one for them, as a comment.
func TestNewRoutes(t *testing.T) {
	s := k8s.NewSystem(t)
	dir := certificate(t)
	issuer := k8s.NewIssuer(t)
	routes, err := os.ReadFile(routesFile(t))
	if err != nil {
		t.Fatal(err)
	}
	commented := regexp.MustCompile(`(?m)^#     apiVersion: .*\n(?:#     .*\n)+`).FindString(string(routes))
	printed := strings.ReplaceAll("\n"+commented, "\n#     ", "\n")
	if !strings.Contains(printed, "kind: SecurityPolicy") {
		t.Fatalf("no SecurityPolicy in\n%.3000s", routes)
	}
	s.StartWeft(k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "gateway"))["weft"]),
		"WEFT_TLS_CERT="+filepath.Join(dir, "tls.crt"), "WEFT_TLS_KEY="+filepath.Join(dir, "tls.key"))
	all := overlay(t, true, policies(issuer)+"---"+printed+verification(issuer)+"\n")
	_, base, _ := startGateway(t, s, all, extensions, dir)
	token := []string{"Authorization", issuer.Bearer("alice")}
	url := base + "/api/v3/composite-profile/7"
	k8s.Expect(t, url, 401, "", "Jwt is missing")
	k8s.Expect(t, base+"/api/v3/composite-profile/x", 401, "", "Jwt is missing") // the route for other requests
	k8s.Expect(t, url, 200, "composed", harness.NewUser(7).Composite(), token...)

	// The limit of the Gateway, with which weft's BackendTrafficPolicy is merged.
	k8s.Expect(t, url, 200, "composed", harness.NewUser(7).Composite(), append(token, "x-limited", "yes")...)
	k8s.Expect(t, url, 429, "passed; reason=local-reply", "local_rate_limited", append(token, "x-limited", "yes")...)
}

// TestAttachedFallback: weft is attached to a section of an HTTPRoute, and is down. The fallback preserves the shape of
// the rule's responses, and does not change others.
func TestAttachedFallback(t *testing.T) {
	s := k8s.NewSystem(t)
	text, err := os.ReadFile(k8s.Path(t, "k8s", "base", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	// The first rule that matches counts: the one for a host has no fallback.
	changed := strings.Replace(string(text), "rules:\n", `rules:
  - name: other-host
    match: {host: "*.shop.example", path: "/api/v1/users/{userId:int64}"}
    extensions:
      e: {database: d, collection: c, where: {id: {param: userId}}, fields: {v: {type: string, default: none}}}
`, 1)
	changed = strings.Replace(changed, "    degrade: always\n", "    degrade: always\n    fallback: composite\n", 1)
	if err := os.WriteFile(rules, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	made := k8s.Run(t, k8s.BuildWeft(t), "envoy", "--rules", rules, "--format", "gateway", "--namespace", "shop",
		"--attach", "httproute/legacy/users", "--legacy", "legacy:8080", "--weft", "weft:50051")
	issuer := k8s.NewIssuer(t)
	_, base, _ := startGateway(t, s, overlay(t, false, string(made)+policies(issuer)), extensions, certificate(t))
	token := []string{"Authorization", issuer.Bearer("alice")}
	u := harness.NewUser(7)
	k8s.Expect(t, base+"/api/v1/users/7", 401, "", "Jwt is missing")
	const down = "degraded; reason=weft-unavailable"
	k8s.Expect(t, base+"/api/v1/users/7", 200, down, u.WithoutExtension(), token...)
	k8s.Expect(t, base+"/api/v1/users/7", 200, down, u.WithoutExtension(), append(token, "If-None-Match", "x")...)
	k8s.Expect(t, base+"/api/v1/users/007", 404, "", "", token...)
	if got := s.LastRequest().Header.Get("Accept-Encoding"); got != "" {
		t.Errorf("the fallback has changed a request without a rule: accept-encoding %q", got)
	}
	for _, untouched := range []struct{ method, host, body string }{
		{"GET", "A.shop.example:80", u.Core},
		{"POST", "shop.example", "legacy: POST /api/v1/users/7"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), untouched.method, base+"/api/v1/users/7", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = untouched.host
		request.Header.Set(token[0], token[1])
		got, err := harness.Do(harness.NewClient(false), request)
		if err != nil || got.Status != 200 || got.Body != untouched.body || got.Header.Get("X-Weft") != "" {
			t.Errorf("%s to %s: %v, %v", untouched.method, untouched.host, got, err)
		}
	}
	answer := k8s.Expect(t, base+"/other", 200, "", "legacy: GET /other", token...)
	if got := answer.Header.Get("X-Gateway"); got != "marked" { // the policy of the Gateway
		t.Errorf("x-gateway is %q", got)
	}
}
