package envoy_test

import (
	"regexp"
	"testing"

	"github.com/goccy/go-yaml"

	"weft/enrich"
	"weft/envoy"
	"weft/internal/rulesfile"
)

// TestIstioHosts: a sidecar has one virtual host, so routes match the host, in the same way as weft.
func TestIstioHosts(t *testing.T) {
	for _, host := range []string{"shop.example", "*.shop.example"} {
		c := config()
		c.Rules = parseRules(t, `version: 1
rules:
  - name: thing
    match: {host: "`+host+`", path: /thing}
    legacy_path: /legacy
    fallback: composite
    extensions: {e: {database: d, collection: c, where: {id: {value: 1}}, fields: {v: {type: string, default: none}}}}
`)
		text, err := envoy.Istio(c, envoy.IstioOptions{Namespace: "shop", Selector: "app=legacy", Port: 8080})
		if err != nil {
			t.Fatal(err)
		}
		pattern := regexp.MustCompile(`name: :authority\s+string_match:\s+safe_regex:\s+regex: (.+)`)
		patterns := pattern.FindAllStringSubmatch(string(text), -1)
		if len(patterns) != 2 { // the route of the rule, and the one for other methods
			t.Fatalf("%d routes that match the host, want 2:\n%s", len(patterns), text)
		}
		for _, pattern := range patterns {
			var whole string
			if err := yaml.Unmarshal([]byte(pattern[1]), &whole); err != nil {
				t.Fatal(err)
			}
			matcher := regexp.MustCompile("^(?:" + whole + ")$")
			for _, got := range []string{
				"shop.example", "SHOP.example", "shop.example:8080", "shop.example:", "shopxexample", "shop.example.org",
				"a.shop.example", "b.a.Shop.example:80", ".shop.example", "ashop.example", "", "[::1]:80", "shop.example:80:80",
				"shop.example:x", "shop.example:x]", "a.shop.example:http", "a.shop.example:80:80",
			} {
				_, _, want := enrich.NewRules(c.Rules).Match(enrich.Request{Method: "GET", Host: got, Path: "/thing"})
				if matcher.MatchString(got) != want {
					t.Errorf("a rule for %s, a request for %q: the route matches: %t, weft matches: %t", host, got, !want, want)
				}
			}
		}
	}
}

// parseRules parses a rules file.
func parseRules(t *testing.T, text string) []*enrich.Rule {
	t.Helper()
	f, err := rulesfile.Parse("rules.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f.Rules
}
