package manifests_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"weft/k8s/proof"
)

// TestDocs shows that what one copies from docs/kubernetes.md is taken: the filters that mirror requests, and Helm's commands.
func TestDocs(t *testing.T) {
	docs := read(t, proof.Path(t, "docs", "kubernetes.md"))
	snippet := func(pattern string) string {
		t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(docs)
		if found == nil {
			t.Fatalf("docs/kubernetes.md has nothing like %s", pattern)
		}
		return found[1]
	}
	route := `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: aggregator, namespace: shop}
spec:
  parentRefs: [{name: eg}]
  rules:
    - backendRefs: [{name: aggregator, port: 8000}]
      ` + snippet(`\n +(filters: \[\{type: RequestMirror.*)\n`)
	service := `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: aggregator, namespace: shop}
spec:
  hosts: [aggregator]
  http:
    - route: [{destination: {host: aggregator}}]
      ` + snippet(`\n +(mirror: .*)\n`) + "\n      " + snippet(`\n +(mirrorPercentage: .*)\n`)
	for _, manifest := range []string{route, service} {
		if output, err := validate(t, []byte(manifest)); err != nil {
			t.Errorf("%v\n%s\n%s", err, output, manifest)
		}
		misspelt := regexp.MustCompile(`([mM])irror: `).ReplaceAllString(manifest, "${1}iror: ")
		if _, err := validate(t, []byte(misspelt)); err == nil {
			t.Errorf("it would be taken with a mistake:\n%s", misspelt)
		}
	}

	install := strings.Fields(snippet(`\n +helm (install weft k8s/chart .*)\n`))
	install = append(install, "--dry-run=client")
	helm := exec.CommandContext(t.Context(), proof.Tool(t, "helm"), install...)
	helm.Dir = proof.Path(t)
	if output, err := helm.CombinedOutput(); err != nil || !strings.Contains(string(output), "registry.example/weft:devel") {
		t.Errorf("helm %s: %v\n%s", install, err, output)
	}
}
