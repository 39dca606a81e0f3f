package envoy_test

import (
	"fmt"
	"strings"
	"testing"

	"weft/envoy"
)

// TestTLS compares parts of the configuration for different TLS settings. test/operations tests that Envoy and weft
// connect with them.
func TestTLS(t *testing.T) {
	const required = "TLS to weft: --weft-tls-ca and --weft-tls-san are required; " +
		"without both, any server could pose as weft"
	tests := []struct {
		name    string
		tls     envoy.TLS
		want    []string // parts of the YAML, in this order
		not     string   // must not be in the YAML
		wantErr string
	}{
		{"none", envoy.TLS{}, nil, "transport_socket", ""},
		{
			"a SPIFFE id",
			envoy.TLS{CA: "/ca", SAN: "spiffe://a/b"},
			[]string{"filename: /ca", "san_type: URI", "exact: spiffe://a/b", "[h2]"},
			"sni:", "",
		},
		{
			"a DNS name",
			envoy.TLS{CA: "/ca", SAN: "weft.shop"},
			[]string{"san_type: DNS", "exact: weft.shop", "sni: weft.shop"},
			"tls_certificates", "",
		},
		{"another SNI", envoy.TLS{CA: "/ca", SAN: "weft.shop", SNI: "weft"}, []string{"sni: weft\n"}, "sni: weft.shop", ""},
		{
			"an address",
			envoy.TLS{CA: "/ca", SAN: "10.0.0.1"},
			[]string{"san_type: IP_ADDRESS", "exact: 10.0.0.1"},
			"sni:", "",
		},
		{
			"mutual",
			envoy.TLS{CA: "/ca", SAN: "w", Cert: "/c", Key: "/k"},
			[]string{"tls_certificates", "filename: /c", "filename: /k"},
			"sds", "",
		},
		{
			"secrets",
			envoy.TLS{CA: "/ca", SAN: "w", Cert: "/c", Key: "/k", Secrets: "/etc/envoy"},
			[]string{
				"name: weft-client", "path: /etc/envoy/weft-client.yaml", "exact: w",
				"name: weft-ca", "path: /etc/envoy/weft-ca.yaml",
			},
			"filename: /c", "",
		},
		{"no CA bundle", envoy.TLS{SAN: "w"}, nil, "", required},
		{"no name", envoy.TLS{CA: "/ca"}, nil, "", required},
		{
			"no key",
			envoy.TLS{CA: "/ca", SAN: "w", Cert: "/c"},
			nil, "",
			"TLS to weft: --weft-tls-cert and --weft-tls-key are required together",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := config()
			c.TLS = test.tls
			bootstrap, err := envoy.Bootstrap(c)
			if test.wantErr != "" {
				if err == nil || err.Error() != test.wantErr {
					t.Errorf("%v, want %s", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := envoy.YAML(bootstrap)
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(string(text), "transport_socket")
			for _, part := range test.want {
				if _, after, ok := strings.Cut(rest, part); ok {
					rest = after
				} else {
					t.Errorf("no %q in its place in\n%s", part, text)
				}
			}
			if test.not != "" && strings.Contains(string(text), test.not) {
				t.Errorf("%q in\n%s", test.not, text)
			}
		})
	}
}

// TestWeftAddresses: there may be several instances of weft.
func TestWeftAddresses(t *testing.T) {
	for weft, want := range map[string]string{
		"10.0.0.1:1, 10.0.0.2:2":  "STATIC 10.0.0.1:1 10.0.0.2:2",
		"unix:/a,unix:///b":       "STATIC /a /b",
		"weft.shop:1,10.0.0.2:2":  "STRICT_DNS weft.shop:1 10.0.0.2:2",
		"unix:/a,weft.shop:1":     "weft at unix:/a,weft.shop:1: Envoy does not accept sockets and host names in one cluster",
		"10.0.0.1:1,,10.0.0.2:2":  `address "": want host:port`,
		"10.0.0.1:1,10.0.0.2:two": `address "10.0.0.2:two": port is not a number from 0 to 65535`,
	} {
		c := config()
		c.Weft = weft
		bootstrap, err := envoy.Bootstrap(c)
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			cluster := bootstrap.GetStaticResources().GetClusters()[1]
			parts := []string{cluster.GetType().String()}
			for _, e := range cluster.GetLoadAssignment().GetEndpoints()[0].GetLbEndpoints() {
				a := e.GetEndpoint().GetAddress()
				if parts = append(parts, a.GetPipe().GetPath()); a.GetPipe() == nil {
					parts[len(parts)-1] = fmt.Sprintf("%s:%d", a.GetSocketAddress().GetAddress(), a.GetSocketAddress().GetPortValue())
				}
			}
			got = strings.Join(parts, " ")
		}
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", weft, got, want)
		}
	}
}
