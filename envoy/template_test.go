package envoy_test

import (
	"bytes"
	"testing"

	"github.com/goccy/go-yaml"

	"weft/enrich"
	"weft/envoy"
)

// TestQuoting: text in flags and rules keeps its value in each format, even if it is syntax of YAML or of a template.
func TestQuoting(t *testing.T) {
	latin1 := ""
	for r := ' '; r < 0x100; r++ {
		latin1 += string(r)
	}
	for _, text := range []string{
		"true", "no", "~", "1e3", "0x10", "1.0", "2001-01-01", "<<", "- a", "a: b", "a #b", "{a}", "[a", "*a", "&a", "!a",
		"%a", "@a", "`a`", `"`, `'`, `\`, `\n`, `a"b'c\d`, " a ", "a\n---\n- b", "a\n  b", "a\t: b",
		"{{.Port}}", "{{`", "<a&b>",
		"é€😀\u2028\u0085\ufeff", latin1,
	} {
		c := config()
		c.Rules = parseRules(t, `version: 1
rules:
  - name: thing
    match: {path: /thing}
    extensions: {e: {database: d, collection: c, where: {id: {value: 1}}, fields: {v: {type: string, default: none}}}}
`)
		c.Rules[0].Query = []enrich.QueryParam{{Param: enrich.Param{Name: text}, Fixed: text}}
		c.TLS = envoy.TLS{CA: text, SAN: "weft.shop", Cert: text, Key: text}
		bootstrap, err := envoy.Bootstrap(c)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		got, err := envoy.YAML(bootstrap)
		const (
			manager = "$.static_resources.listeners[0].filter_chains[0].filters[0].typed_config"
			tls     = "transport_socket.typed_config.common_tls_context"
		)
		checkText(t, text, got, err,
			manager+".route_config.virtual_hosts[0].routes[0].match.query_parameters[0].name",
			"$.static_resources.clusters[1]."+tls+".tls_certificates[0].private_key.filename")

		got, err = envoy.Istio(c, envoy.IstioOptions{Namespace: text, Selector: "app=" + text, Port: 8080})
		checkText(t, text, got, err, "$.metadata.namespace", "$.spec.workloadSelector.labels.app",
			"$.spec.configPatches[0].patch.value."+tls+".validation_context.trusted_ca.filename",
			"$.spec.configPatches[5].patch.value.match.query_parameters[0].string_match.exact")

		c.Rules[0].Host, c.TLS, c.Legacy, c.Weft = text, envoy.TLS{}, "legacy:8080", "weft:50051"
		got, err = envoy.Gateway(c, envoy.GatewayOptions{Namespace: text, Gateway: text})
		const match = "$.spec.rules[0].matches[0].queryParams[0]"
		checkText(t, text, got, err, "$.metadata.namespace", "$.spec.parentRefs[0].name", "$.spec.hostnames[0]",
			match+".name", match+".value")
	}
}

// checkText checks the text at each path of the first YAML document.
func checkText(t *testing.T, want string, document []byte, err error, paths ...string) {
	t.Helper()
	if err != nil {
		t.Errorf("%q: %v", want, err)
		return
	}
	if _, after, ok := bytes.Cut(document, []byte("\n---\n")); ok {
		document, _, _ = bytes.Cut(after, []byte("\n---\n"))
	}
	for _, p := range paths {
		path, err := yaml.PathString(p)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := path.Read(bytes.NewReader(document), &got); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", p, got, err, want)
		}
	}
}
