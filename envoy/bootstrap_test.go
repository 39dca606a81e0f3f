package envoy_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/enrich"
	"weft/envoy"
	"weft/internal/rulesfile"
)

var update = flag.Bool("update", false, "write the golden files")

func config() envoy.Config {
	return envoy.Config{
		Rules:  rulesfile.Builtin().Rules,
		Listen: "0.0.0.0:10000",
		Admin:  "127.0.0.1:9901",
		Legacy: "127.0.0.1:8081",
		Weft:   "unix:///run/weft/weft.sock",
	}
}

// TestBootstrap compares the output with testdata/bootstrap.yaml. test/envoy tests that Envoy accepts it.
func TestBootstrap(t *testing.T) {
	bootstrap, err := envoy.Bootstrap(config())
	if err != nil {
		t.Fatal(err)
	}
	got, err := envoy.YAML(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/bootstrap.yaml", got)
}

// TestModule compares the configuration of a module with testdata/bootstrap-module.yaml.
func TestModule(t *testing.T) {
	c := config()
	c.Module = &envoy.Module{Library: "/usr/lib/libweft.so", Flags: map[string]any{
		"rules": "/etc/weft/rules.yaml", "mongodb-uri-file": "/etc/weft/mongodb-uri",
	}}
	bootstrap, err := envoy.Bootstrap(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := envoy.YAML(bootstrap)
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/bootstrap-module.yaml", got)

	c.Rules[0].Degrade = enrich.DegradeAuthenticated
	c.Rules[0].Identity = enrich.Claim{Payload: "token", Name: "https://example.com/user"}
	const want = `rule "user": identity: payload "token", claim "https://example.com/user": ` +
		`in a module, they must not contain any of :%()`
	if _, err := envoy.Bootstrap(c); err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// TestFormats compares the configuration of each example's rules in each format.
func TestFormats(t *testing.T) {
	files, err := filepath.Glob("../examples/*/rules.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("examples: %v, %v", files, err)
	}
	for _, file := range files {
		f, err := rulesfile.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		c := config()
		c.Rules = f.Rules
		name := filepath.Base(filepath.Dir(file))
		got, err := envoy.Istio(c, envoy.IstioOptions{Namespace: "shop", Selector: "app=legacy", Port: 8080})
		if err != nil {
			t.Fatal(err)
		}
		checkGolden(t, "testdata/istio-"+name+".yaml", got)
		c.Legacy, c.Weft = "legacy:8080", "weft:50051"
		if got, err = envoy.Gateway(c, envoy.GatewayOptions{Namespace: "shop", Gateway: "eg"}); err != nil {
			t.Fatal(err)
		}
		checkGolden(t, "testdata/gateway-"+name+".yaml", got)
	}
	c := config()
	c.Legacy, c.Weft = "legacy:8080", "weft:50051"
	got, err := envoy.Gateway(c, envoy.GatewayOptions{Namespace: "shop", Gateway: "eg", Attach: "httproute/users/v1"})
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/gateway-attached.yaml", got)

	c.Module = &envoy.Module{Library: "/usr/lib/libweft.so", Flags: map[string]any{
		"rules": "/etc/weft/rules.yaml", "mongodb-uri-file": "/etc/weft/mongodb-uri",
	}}
	c.Weft = "" // ignored
	got, err = envoy.Gateway(c, envoy.GatewayOptions{Namespace: "shop", Gateway: "eg", Attach: "httproute/users"})
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/gateway-module.yaml", got)
	got, err = envoy.Istio(c, envoy.IstioOptions{Namespace: "shop", Selector: "app=legacy", Port: 8080})
	if err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "testdata/istio-module.yaml", got)
}

func TestFormatErrors(t *testing.T) {
	c := config()
	for _, test := range []struct {
		make func() ([]byte, error)
		want string
	}{
		{
			func() ([]byte, error) { return envoy.Istio(c, envoy.IstioOptions{Selector: "app", Port: 80}) },
			`selector "app": want label=value, as in app=users`,
		},
		{
			func() ([]byte, error) { return envoy.Istio(c, envoy.IstioOptions{Selector: "app=x"}) },
			"port 0: want a number from 1 to 65535",
		},
		{
			func() ([]byte, error) { return envoy.Gateway(c, envoy.GatewayOptions{Attach: "users"}) },
			`--attach "users": want httproute/NAME or httproute/NAME/SECTION, as in httproute/users`,
		},
		{func() ([]byte, error) {
			c := c
			c.Rules = c.Rules[1:] // the one with a legacy_path
			return envoy.Gateway(c, envoy.GatewayOptions{Attach: "httproute/users"})
		}, `--attach has no effect: each rule has a legacy_path, and so a new route`},
		{
			func() ([]byte, error) { return envoy.Gateway(c, envoy.GatewayOptions{}) },
			`--weft "unix:///run/weft/weft.sock": want name:port of a Service, as in weft:8080`,
		},
		{func() ([]byte, error) {
			c := c
			c.Module = &envoy.Module{}
			return envoy.Istio(c, envoy.IstioOptions{Selector: "app=x", Port: 80})
		}, "path of libweft.so is empty; set --module-library"},
		{func() ([]byte, error) {
			c := c
			c.Module = &envoy.Module{}
			return envoy.Gateway(c, envoy.GatewayOptions{})
		}, "path of libweft.so is empty; set --module-library"},
		{func() ([]byte, error) {
			c, rule := c, *c.Rules[0]
			rule.Degrade = enrich.DegradeAuthenticated
			c.Rules, c.Module = []*enrich.Rule{&rule}, &envoy.Module{Library: "/usr/lib/libweft.so"}
			return envoy.Gateway(c, envoy.GatewayOptions{})
		}, `rule "user": degrade: authenticated needs weft as an external processor: ` +
			`Envoy Gateway cannot give a module the claims of a token`},
	} {
		if _, err := test.make(); err == nil || err.Error() != test.want {
			t.Errorf("%v, want %s", err, test.want)
		}
	}
}

// checkGolden compares got with a golden file, or with -update writes the file.
func checkGolden(t *testing.T, golden string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); update: go test ./envoy -run 'TestBootstrap|TestFormats' -update\n%s", golden, diff)
	}
}

func TestBootstrapAddresses(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*envoy.Config)
		want    string // part of the YAML
		wantErr string
	}{
		{"a name is resolved", func(c *envoy.Config) { c.Legacy = "users.example:80" }, "type: STRICT_DNS", ""},
		{"IPv6", func(c *envoy.Config) { c.Legacy = "[::1]:8081" }, "address: ::1", ""},
		{"weft over TCP", func(c *envoy.Config) { c.Weft = "127.0.0.1:9000" }, "port_value: 9000", ""},
		{"a relative socket", func(c *envoy.Config) { c.Weft = "unix:weft.sock" }, "path: weft.sock", ""},
		{"no port", func(c *envoy.Config) { c.Legacy = "users" }, "", `address "users": want host:port`},
		{
			"a port that is a name", func(c *envoy.Config) { c.Legacy = "users:http" }, "",
			`address "users:http": port is not a number from 0 to 65535`,
		},
		{
			"no host", func(c *envoy.Config) { c.Listen = ":10000" }, "",
			`address ":10000": no host before the colon; 0.0.0.0 is every IPv4 address of this machine`,
		},
		{"no path", func(c *envoy.Config) { c.Weft = "unix:" }, "", `address "unix:": no path after "unix:"`},
		{"not UTF-8", func(c *envoy.Config) { c.Legacy = "\xff:1" }, "", `address "\xff:1": not UTF-8`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := config()
			test.change(&c)
			bootstrap, err := envoy.Bootstrap(c)
			if err != nil {
				if err.Error() != test.wantErr {
					t.Errorf("error %q, want %q", err, test.wantErr)
				}
				return
			}
			got, err := envoy.YAML(bootstrap)
			if err != nil {
				t.Fatal(err)
			}
			if test.wantErr != "" || !strings.Contains(string(got), test.want) {
				t.Errorf("want error %q or %q in\n%s", test.wantErr, test.want, got)
			}
		})
	}
}
