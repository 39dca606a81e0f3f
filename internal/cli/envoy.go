package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/protobuf/proto"

	"weft/envoy"
	"weft/envoy/defaults"
)

const defaultSocket = "unix:///run/weft/weft.sock"

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
		Usage: "print the configuration of an Envoy that calls weft",
		Description: `Formats: bootstrap, for a standalone Envoy; istio, an EnvoyFilter for the sidecar of the legacy service;
gateway, an HTTPRoute and an EnvoyExtensionPolicy for Envoy Gateway; weft-ca and weft-client, the two files in the
folder of --weft-tls-secrets. The first lines of the output say what a format cannot express.

   weft envoy --rules rules.yaml --legacy users:8080 > envoy.yaml && envoy -c envoy.yaml
   weft envoy --rules rules.yaml --format istio --selector app=users --port 8080 | kubectl apply -f -
   weft envoy --format gateway --gateway eg --legacy users:8080 --weft weft:50051 | kubectl apply -f -`,
		Flags: []cli.Flag{
			rulesFlag(&rules),
			stringVar(&format, "format", "bootstrap", "WEFT_FORMAT",
				"bootstrap, istio, gateway, weft-ca or weft-client"),
			stringVar(&mode, "mode", extProcMode, "WEFT_MODE",
				"ext_proc, which calls weft, or module, which runs weft in Envoy's process (experimental; bootstrap only)"),
			stringVar(&module.library, "module-library", "/usr/lib/libweft.so", "WEFT_MODULE_LIBRARY",
				"module: `FILE` with the library, as Envoy finds it"),
			stringVar(&module.config, "module-config", "{}", "WEFT_MODULE_CONFIG",
				"module: flags of \"weft serve\" as a `JSON` object; \"rules\" is --rules unless it is given"),
			stringVar(&c.Legacy, "legacy", "", "WEFT_LEGACY",
				"`host:port` of the legacy service (gateway: its Service); "+
					"default: the rules file's, or 127.0.0.1:8081"),
			stringVar(&c.Weft, "weft", defaultSocket, "WEFT_LISTEN",
				"address of weft, as in \"weft serve --listen\", or several with commas "+
					"(gateway: `host:port` of a Service)"),
			stringVar(&c.Listen, "listen", "0.0.0.0:10000", "WEFT_ENVOY_LISTEN",
				"bootstrap: `host:port` on which Envoy listens for clients"),
			stringVar(&c.Admin, "admin", "127.0.0.1:9901", "WEFT_ENVOY_ADMIN",
				"bootstrap: `host:port` of Envoy's admin interface"),
			stringVar(&c.Collector, "otlp", "", "WEFT_ENVOY_OTLP",
				"bootstrap: `host:port` of an OTLP collector (gRPC) for Envoy's traces; empty for none"),
			&cli.FloatFlag{
				Name: "trace-sampling", Value: 1, Sources: cli.EnvVars("WEFT_ENVOY_TRACE_SAMPLING"),
				Destination: &c.TraceSampling, Validator: func(percent float64) error {
					if !(0 <= percent && percent <= 100) { // NaN is neither
						return errors.New("want 0 to 100")
					}
					return nil
				},
				Usage: "bootstrap: `percent` of the requests that Envoy traces, " +
					"in addition to those that their client traces",
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
			durationVar(&c.RouteTimeout, "route-timeout", 0, time.Millisecond, "WEFT_ROUTE_TIMEOUT",
				fmt.Sprintf("how long the legacy service may take for a response; default: the rules file's, or %v",
					defaults.RouteTimeout)),
			durationVar(&c.MessageTimeout, "message-timeout", 0, time.Millisecond, "WEFT_MESSAGE_TIMEOUT",
				"how long Envoy waits for weft; less a tenth, how long weft waits for MongoDB once the core is there; "+
					fmt.Sprintf("default: the rules file's, or %v", defaults.MessageTimeout)),
			// The connections to weft. Envoy reads the files.
			&cli.Uint32Flag{
				Name: "weft-max-streams", Value: envoy.DefaultWeftStreams, Sources: cli.EnvVars("WEFT_MAX_STREAMS"),
				Destination: &c.WeftStreams, Validator: atLeast[uint32](1),
				Usage: "concurrent exchanges on one connection, as in \"weft serve --max-streams\"",
			},
			stringVar(&c.TLS.CA, "weft-tls-ca", "", "WEFT_ENVOY_TLS_CA",
				"TLS with weft: `FILE`, as Envoy finds it, with the CA bundle (PEM) for weft's certificate"),
			stringVar(&c.TLS.SAN, "weft-tls-san", "", "WEFT_ENVOY_TLS_SAN",
				"`NAME` that weft's certificate must have: a SPIFFE ID, DNS name or IP address"),
			stringVar(&c.TLS.SNI, "weft-tls-sni", "", "WEFT_ENVOY_TLS_SNI",
				"`NAME` that Envoy sends as SNI; default: that of --weft-tls-san, if it is a DNS name"),
			stringVar(&c.TLS.Cert, "weft-tls-cert", "", "WEFT_ENVOY_TLS_CERT",
				"mutual TLS: `FILE` with Envoy's client certificate (PEM)"),
			stringVar(&c.TLS.Key, "weft-tls-key", "", "WEFT_ENVOY_TLS_KEY",
				"`FILE` with the key of --weft-tls-cert (PEM)"),
			stringVar(&c.TLS.Secrets, "weft-tls-secrets", "", "WEFT_ENVOY_TLS_SECRETS",
				"`FOLDER` with weft-ca.yaml and weft-client.yaml, made with --format weft-ca and weft-client: "+
					"with them Envoy reloads the certificates when their files are replaced; "+
					"without, it reads them only at its start"),
		},
		Action: func(_ context.Context, cmd *cli.Command) error {
			f, err := loadRules(rules)
			if err != nil {
				return err
			}
			c.Rules, c.Retries, c.WeftTimeout = f.Rules, &f.Envoy.Retries, f.Envoy.MessageTimeout
			c.Legacy = cmp.Or(c.Legacy, f.Envoy.Legacy, "127.0.0.1:8081")
			c.RouteTimeout = cmp.Or(c.RouteTimeout, f.Envoy.RouteTimeout)
			c.MessageTimeout = cmp.Or(c.MessageTimeout, f.Envoy.MessageTimeout)
			if c.MessageTimeout >= c.RouteTimeout {
				return usageErrorf("--message-timeout %v is not less than --route-timeout %v: %s", c.MessageTimeout,
					c.RouteTimeout, "Envoy would give up a response while weft may still wait for MongoDB")
			}
			gateway.Namespace = istio.Namespace
			if c.Module, err = module.parse(mode, format, rules); err != nil {
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

// moduleOptions are the flags for weft in Envoy's process.
type moduleOptions struct{ library, config string }

// parse returns nil if weft is not in Envoy's process.
func (o moduleOptions) parse(mode, format, rules string) (*envoy.Module, error) {
	switch {
	case mode == extProcMode:
		return nil, nil //nolint:nilnil // no module is no error
	case mode != moduleMode:
		return nil, usageErrorf("unknown --mode %q; use one of %s, %s", mode, extProcMode, moduleMode)
	case format != "bootstrap":
		return nil, usageErrorf("--mode %s: there is only --format bootstrap for it, not %s", moduleMode, format)
	}
	m := &envoy.Module{Library: o.library}
	if err := json.Unmarshal([]byte(o.config), &m.Flags); err != nil || m.Flags == nil {
		return nil, usageErrorf("--module-config %s: want a JSON object, such as {\"admin\": \"127.0.0.1:9902\"}", o.config)
	}
	if _, ok := m.Flags["rules"]; !ok && rules != "" {
		m.Flags["rules"] = rules
	}
	return m, checkModuleFlags(m.Flags)
}
