package manifests_test

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"weft/test/k8s"
)

// TestDocs: the snippets of docs/kubernetes.md are valid: the filters that mirror requests, and Helm's commands.
func TestDocs(t *testing.T) {
	docs := read(t, k8s.Path(t, "docs", "kubernetes.md"))
	docs = regexp.MustCompile(`\\\n +`).ReplaceAllString(docs, "") // continued lines
	snippet := func(pattern string) string {
		t.Helper()
		found := regexp.MustCompile(pattern).FindStringSubmatch(docs)
		if found == nil {
			t.Fatalf("docs/kubernetes.md does not contain %s", pattern)
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
		misspelled := regexp.MustCompile(`([mM])irror: `).ReplaceAllString(manifest, "${1}iror: ")
		if _, err := validate(t, []byte(misspelled)); err == nil {
			t.Errorf("a misspelled field is accepted:\n%s", misspelled)
		}
	}

	// A pod of "kubectl run" is not "restricted", so the namespaces of the overlays reject it.
	runs := regexp.MustCompile(`kubectl -n (\S+) run ask .* http://legacy\.(\S+):8080/`).FindAllStringSubmatch(docs, -1)
	if len(runs) != 2 || len(runs) != strings.Count(docs, " run ask ") {
		t.Fatalf("docs/kubernetes.md has %d requests by kubectl run", len(runs))
	}
	for _, run := range runs {
		if run[1] == "shop" || run[2] != "shop" {
			t.Errorf("%s: the namespace shop rejects such a pod", run[0])
		}
	}

	install := strings.Fields(snippet(`\n +helm (install weft k8s/chart .*)\n`))
	install = append(install, "--dry-run=client")
	helm := exec.CommandContext(t.Context(), k8s.Tool(t, "helm"), install...)
	helm.Dir = k8s.Path(t)
	output, err := helm.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "registry.example/weft:devel") {
		t.Errorf("helm %s: %v\n%s", install, err, output)
	}
}
