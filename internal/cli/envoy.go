package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/protobuf/proto"

	"weft/enrich"
	"weft/envoy"
	"weft/envoy/defaults"
)

const (
	defaultSocket = "unix:///run/weft/weft.sock"
	defaultLegacy = "127.0.0.1:8081"
)

func envoyCommand() *cli.Command {
	var (
		rules, format string
		c             envoy.Config
		istio         envoy.IstioOptions
		gateway       envoy.GatewayOptions
		mode          string
		module        moduleOptions
	)
	return &cli.Command{
		Name:  "envoy",
		Usage: "print Envoy configuration that calls weft",
		Description: `Formats: bootstrap, for a standalone Envoy; istio, an EnvoyFilter for the sidecar of the
legacy service; gateway, an EnvoyExtensionPolicy for an HTTPRoute of Envoy Gateway, or new HTTPRoutes;
weft-ca and weft-client, the two files in the directory of --weft-tls-secrets. The first lines of the
output list what the format cannot express.

   weft envoy --rules rules.yaml --legacy users:8080 > envoy.yaml && envoy -c envoy.yaml
   weft envoy --rules rules.yaml --format istio --selector app=users --port 8080 | kubectl apply -f -
   weft envoy --format gateway --attach httproute/users --legacy users:8080 --weft weft:50051 | kubectl apply -f -`,
		Flags: []cli.Flag{
			rulesFlag(&rules),
			stringVar(&format, "format", "bootstrap", "WEFT_FORMAT",
				"bootstrap, istio, gateway, weft-ca or weft-client"),
			stringVar(&mode, "mode", extProcMode, "WEFT_MODE",
				"ext_proc, which calls weft, or module, which runs weft in Envoy's process (experimental)"),
			stringVar(&module.library, "module-library", "/usr/lib/libweft.so", "WEFT_MODULE_LIBRARY",
				"`FILE` in Envoy's file system with the library for --mode module"),
			stringVar(&module.config, "module-config", "{}", "WEFT_MODULE_CONFIG",
				"flags of \"weft serve\" for --mode module, as a `JSON` object; default of its \"rules\": --rules"),
			stringVar(&c.Legacy, "legacy", "", "WEFT_LEGACY",
				"`host:port` of the legacy service (gateway: its Service); "+
					"default: the rules file's, or "+defaultLegacy),
			stringVar(&c.Weft, "weft", defaultSocket, "WEFT_LISTEN",
				"address of weft, as in \"weft serve --listen\", or several separated by commas "+
					"(gateway: `host:port` of a Service)"),
			stringVar(&c.Listen, "listen", "0.0.0.0:10000", "WEFT_ENVOY_LISTEN",
				"bootstrap: `host:port` on which Envoy listens for clients"),
			stringVar(&c.Admin, "admin", "127.0.0.1:9901", "WEFT_ENVOY_ADMIN",
				"bootstrap: `host:port` of Envoy's admin interface"),
			stringVar(&c.Collector, "otlp", "", "WEFT_ENVOY_OTLP",
				"bootstrap: `host:port` of an OTLP/gRPC collector for Envoy's traces; empty: no traces"),
			boolVar(&c.LegacyHTTP2, "legacy-http2", false, "WEFT_ENVOY_LEGACY_HTTP2",
				"bootstrap: the legacy service also speaks HTTP/2 without TLS; requests over HTTP/2, such as gRPC, "+
					"go to it over HTTP/2"),
			&cli.Uint32Flag{
				Name: "trusted-hops", Value: 0, Sources: cli.EnvVars("WEFT_ENVOY_TRUSTED_HOPS"),
				Destination: &c.TrustedHops,
				Usage: "bootstrap: `number` of proxies in front of Envoy that append to x-forwarded-for, such as a load " +
					"balancer; 0 if clients connect to Envoy. If it is too small, the client's address is the proxy's; " +
					"if it is too large, clients can forge theirs",
			},
			boolVar(&c.NormalizePaths, "normalize-paths", false, "WEFT_ENVOY_NORMALIZE_PATHS",
				"bootstrap: normalize paths, as Envoy advises where it controls access by path: /a/../b becomes /b, "+
					"//b becomes /b, %2F is redirected to /, and %37 becomes 7, so that rules match more than canonical "+
					"spellings; without, paths pass as they are"),
			boolVar(&c.PreserveCase, "preserve-case", false, "WEFT_ENVOY_PRESERVE_CASE",
				"bootstrap: keep the spelling of header names in HTTP/1, for clients or a legacy service that need "+
					"Content-Type; without, Envoy sends content-type"),
			&cli.FloatFlag{
				Name: "trace-sampling", Value: 1, Sources: cli.EnvVars("WEFT_ENVOY_TRACE_SAMPLING"),
				Destination: &c.TraceSampling, Validator: func(percent float64) error {
					if !(0 <= percent && percent <= 100) { // rejects NaN too
						return errors.New("want 0 to 100")
					}
					return nil
				},
				Usage: "bootstrap: `percent` of requests that Envoy traces, " +
					"in addition to requests with a sampled trace context",
			},
			stringVar(&istio.Namespace, "namespace", "default", "WEFT_NAMESPACE",
				"istio, gateway: `namespace` of the objects"),
			stringVar(&istio.Selector, "selector", "app=legacy", "WEFT_SELECTOR",
				"istio: `label=value` of the legacy service's pods"),
			&cli.IntFlag{
				Name: "port", Value: 8080, Sources: cli.EnvVars("WEFT_PORT"), Destination: &istio.Port,
				Usage: "istio: `port` of the legacy service's container",
			},
			stringVar(&gateway.Gateway, "gateway", "eg", "WEFT_GATEWAY", "gateway: `name` of the Gateway"),
			stringVar(&gateway.Attach, "attach", "", "WEFT_ATTACH",
				"gateway: `httproute/NAME` or httproute/NAME/SECTION, the HTTPRoute that has the paths now: weft is attached "+
					"to it; default: each rule gets a new HTTPRoute"),
			durationVar(&c.RouteTimeout, "route-timeout", 0, time.Millisecond, "WEFT_ROUTE_TIMEOUT",
				fmt.Sprintf("timeout for the response of the legacy service; default: the rules file's, or %v",
					defaults.RouteTimeout)),
			durationVar(&c.MessageTimeout, "message-timeout", 0, time.Millisecond, "WEFT_MESSAGE_TIMEOUT",
				"how long Envoy waits for weft; weft waits for MongoDB nine tenths of it, after the core has arrived; "+
					fmt.Sprintf("default: the rules file's, or %v", defaults.MessageTimeout)),
			// The connections to weft. Envoy reads the files, not this command.
			&cli.Uint32Flag{
				Name: "weft-max-streams", Value: envoy.DefaultWeftStreams, Sources: cli.EnvVars("WEFT_MAX_STREAMS"),
				Destination: &c.WeftStreams, Validator: atLeast[uint32](1),
				Usage: "concurrent exchanges on one connection, as in \"weft serve --max-streams\"",
			},
			stringVar(&c.TLS.CA, "weft-tls-ca", "", "WEFT_ENVOY_TLS_CA",
				"TLS to weft: `FILE` in Envoy's file system with the CA bundle (PEM) for weft's certificate"),
			stringVar(&c.TLS.SAN, "weft-tls-san", "", "WEFT_ENVOY_TLS_SAN",
				"subject alternative `NAME` that weft's certificate must have: a SPIFFE ID, DNS name or IP address"),
			stringVar(&c.TLS.SNI, "weft-tls-sni", "", "WEFT_ENVOY_TLS_SNI",
				"`NAME` that Envoy sends as SNI; default: --weft-tls-san, if it is a DNS name"),
			stringVar(&c.TLS.Cert, "weft-tls-cert", "", "WEFT_ENVOY_TLS_CERT",
				"mutual TLS: `FILE` with Envoy's client certificate (PEM)"),
			stringVar(&c.TLS.Key, "weft-tls-key", "", "WEFT_ENVOY_TLS_KEY",
				"`FILE` with the private key of --weft-tls-cert (PEM)"),
			stringVar(&c.TLS.Secrets, "weft-tls-secrets", "", "WEFT_ENVOY_TLS_SECRETS",
				"`DIR` with weft-ca.yaml and weft-client.yaml, from --format weft-ca and weft-client: "+
					"Envoy then reloads certificates when their files are replaced; "+
					"otherwise it reads them only at start"),
		},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if err := checkFormat(cmd, format); err != nil {
				return err
			}
			f, err := loadRules(rules)
			if err != nil {
				return err
			}
			c.Rules, c.Retries, c.WeftTimeout = f.Rules, &f.Envoy.Retries, f.Envoy.MessageTimeout
			c.LegacyIdleTimeout = f.Envoy.LegacyIdleTimeout
			c.Legacy = cmp.Or(c.Legacy, f.Envoy.Legacy, defaultLegacy)
			c.RouteTimeout = cmp.Or(c.RouteTimeout, f.Envoy.RouteTimeout)
			c.MessageTimeout = cmp.Or(c.MessageTimeout, f.Envoy.MessageTimeout)
			if c.MessageTimeout >= c.RouteTimeout {
				return usageErrorf("--message-timeout %v must be less than --route-timeout %v: %s", c.MessageTimeout,
					c.RouteTimeout, "otherwise the route times out while weft still waits for MongoDB")
			}
			gateway.Namespace = istio.Namespace
			if c.Module, err = module.parse(cmd, mode, rules); err != nil {
				return err
			}
			var text []byte
			var message proto.Message // or its text
			switch format {
			case "bootstrap":
				message, err = envoy.Bootstrap(c)
			case envoy.CASecret, envoy.CertSecret:
				message, err = envoy.Secret(c.TLS, format)
			case "istio":
				text, err = envoy.Istio(c, istio)
			case "gateway":
				text, err = envoy.Gateway(c, gateway)
				if err == nil {
					warnOfNewRoutes(cmd.Root().ErrWriter, gateway, c.Rules)
				}
			default:
				return usageErrorf("unknown --format %q; use one of %s", format,
					"bootstrap, istio, gateway, weft-ca, weft-client")
			}
			if err == nil && message != nil {
				text, err = envoy.YAML(message)
			}
			if err != nil {
				return err
			}
			_, err = cmd.Root().Writer.Write(text)
			return err
		},
	}
}

// Values of --mode.
const (
	extProcMode = "ext_proc"
	moduleMode  = "module"
)

// moduleOptions are the flags for --mode module.
type moduleOptions struct{ library, config string }

// parse returns nil for --mode ext_proc.
func (o moduleOptions) parse(cmd *cli.Command, mode, rules string) (*envoy.Module, error) {
	switch mode {
	case moduleMode:
		for _, f := range cmd.Flags { // --weft and --weft-...: the connection to weft
			if name := f.Names()[0]; strings.HasPrefix(name, "weft") && cmd.IsSet(name) {
				return nil, usageErrorf("--%s is for --mode %s, not %s", name, extProcMode, moduleMode)
			}
		}
	case extProcMode:
		for _, name := range []string{"module-library", "module-config"} {
			if cmd.IsSet(name) {
				return nil, usageErrorf("--%s is for --mode %s, not %s", name, moduleMode, extProcMode)
			}
		}
		return nil, nil //nolint:nilnil // without a module
	default:
		return nil, usageErrorf("unknown --mode %q; use one of %s, %s", mode, extProcMode, moduleMode)
	}
	m := &envoy.Module{Library: o.library}
	if err := json.Unmarshal([]byte(o.config), &m.Flags); err != nil || m.Flags == nil {
		return nil, usageErrorf("--module-config %s: want a JSON object, such as {\"admin\": \"127.0.0.1:9902\"}", o.config)
	}
	if _, ok := m.Flags["rules"]; !ok && rules != "" {
		m.Flags["rules"] = rules
	}
	if err := checkModuleFlags(m.Flags); err != nil {
		return nil, usageErrorf("--module-config: %w", err)
	}
	return m, nil
}

// warnOfNewRoutes warns that no SecurityPolicy protects new routes for Envoy Gateway.
func warnOfNewRoutes(w io.Writer, o envoy.GatewayOptions, rules []*enrich.Rule) {
	names, takesRequests := o.NewRoutes(rules)
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(w, "weft: new HTTPRoutes %s: no SecurityPolicy that targets another HTTPRoute covers them. "+
		"The first lines of the output have one to fill in and apply.\n", strings.Join(names, ", "))
	if takesRequests {
		fmt.Fprintln(w, "weft: they take requests from the HTTPRoute that the legacy service has. "+
			"With --attach httproute/NAME weft is attached to it, and its policies still apply.")
	}
}

// checkFormat rejects flags of other formats, which would have no effect. The usage of such a flag begins with the
// formats that it is for.
func checkFormat(cmd *cli.Command, format string) error {
	if !slices.Contains(meshFormats, format) {
		return nil
	}
	for _, f := range cmd.Flags {
		prefix, _, _ := strings.Cut(f.(cli.DocGenerationFlag).GetUsage(), ": ")
		formats := strings.Split(prefix, ", ")
		isOfFormats := !slices.ContainsFunc(formats, func(s string) bool { return !slices.Contains(meshFormats, s) })
		if name := f.Names()[0]; isOfFormats && cmd.IsSet(name) && !slices.Contains(formats, format) {
			return usageErrorf("--%s is for --format %s, not %s", name, prefix, format)
		}
	}
	return nil
}

var meshFormats = []string{"bootstrap", "istio", "gateway"} //nolint:gochecknoglobals // read-only
