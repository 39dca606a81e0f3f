package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"weft/envoy"
	"weft/envoy/defaults"
)

const defaultSocket = "unix:///run/weft/weft.sock"

func envoyCommand() *cli.Command {
	return &cli.Command{
		Name:  "envoy",
		Usage: "print the configuration of an Envoy that calls weft",
		Description: `Formats: bootstrap, for a standalone Envoy; istio, an EnvoyFilter for the sidecar of the legacy service;
gateway, an HTTPRoute and an EnvoyExtensionPolicy for Envoy Gateway; weft-ca and weft-client, the two files in the
folder of --weft-tls-secrets. The first lines of the output say what a format cannot express.

   weft envoy --rules rules.yaml --legacy users:8080 > envoy.yaml && envoy -c envoy.yaml
   weft envoy --rules rules.yaml --format istio --selector app=users --port 8080 | kubectl apply -f -
   weft envoy --format gateway --gateway eg --legacy users:8080 --weft weft:50051 | kubectl apply -f -`,
		Flags: slices.Concat([]cli.Flag{
			rulesFlag(),
			&cli.StringFlag{
				Name: "format", Value: "bootstrap", Sources: cli.EnvVars("WEFT_FORMAT"),
				Usage: "bootstrap, istio, gateway, weft-ca or weft-client",
			},
			&cli.StringFlag{
				Name: "legacy", Sources: cli.EnvVars("WEFT_LEGACY"),
				Usage: "`host:port` of the legacy service (gateway: its Service); default: the rules file's, or 127.0.0.1:8081",
			},
			&cli.StringFlag{
				Name: "weft", Value: defaultSocket, Sources: cli.EnvVars("WEFT_LISTEN"),
				Usage: "address of weft, as in \"weft serve --listen\", or several with commas (gateway: `host:port` of a Service)",
			},
			&cli.StringFlag{
				Name: "listen", Value: "0.0.0.0:10000", Sources: cli.EnvVars("WEFT_ENVOY_LISTEN"),
				Usage: "bootstrap: `host:port` on which Envoy listens for clients",
			},
			&cli.StringFlag{
				Name: "admin", Value: "127.0.0.1:9901", Sources: cli.EnvVars("WEFT_ENVOY_ADMIN"),
				Usage: "bootstrap: `host:port` of Envoy's admin interface",
			},
			&cli.StringFlag{
				Name: "otlp", Sources: cli.EnvVars("WEFT_ENVOY_OTLP"),
				Usage: "bootstrap: `host:port` of an OTLP collector (gRPC) for Envoy's traces; empty for none",
			},
			&cli.FloatFlag{
				Name: "trace-sampling", Value: 1, Sources: cli.EnvVars("WEFT_ENVOY_TRACE_SAMPLING"),
				Validator: between(0., 100.),
				Usage:     "bootstrap: `percent` of the requests that Envoy traces, in addition to those that their client traces",
			},
			&cli.StringFlag{
				Name: "namespace", Value: "default", Sources: cli.EnvVars("WEFT_NAMESPACE"),
				Usage: "istio, gateway: `namespace` of the objects",
			},
			&cli.StringFlag{
				Name: "selector", Value: "app=legacy", Sources: cli.EnvVars("WEFT_SELECTOR"),
				Usage: "istio: `label=value` of the legacy service's pods",
			},
			&cli.IntFlag{
				Name: "port", Value: 8080, Sources: cli.EnvVars("WEFT_PORT"),
				Usage: "istio: `port` of the legacy service's container",
			},
			&cli.StringFlag{
				Name: "gateway", Value: "eg", Sources: cli.EnvVars("WEFT_GATEWAY"),
				Usage: "gateway: `name` of the Gateway",
			},
			&cli.DurationFlag{
				Name: "route-timeout", Sources: cli.EnvVars("WEFT_ROUTE_TIMEOUT"), Validator: atLeast(time.Millisecond),
				Usage: "how long the legacy service may take for a response; " +
					fmt.Sprintf("default: the rules file's, or %v", defaults.RouteTimeout),
			},
			&cli.DurationFlag{
				Name: "message-timeout", Sources: cli.EnvVars("WEFT_MESSAGE_TIMEOUT"), Validator: atLeast(time.Millisecond),
				Usage: "how long Envoy waits for weft; less a tenth, how long weft waits for MongoDB once the core is there; " +
					fmt.Sprintf("default: the rules file's, or %v", defaults.MessageTimeout),
			},
		}, weftFlags()),
		OnUsageError: onUsageError,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if err := noArguments(cmd); err != nil {
				return err
			}
			text, err := envoyConfig(cmd)
			if err != nil {
				return err
			}
			_, err = cmd.Root().Writer.Write(text)
			return err
		},
	}
}

// envoyConfig returns the configuration for the flags.
func envoyConfig(cmd *cli.Command) ([]byte, error) {
	f, err := loadRules(cmd.String("rules"))
	if err != nil {
		return nil, err
	}
	c := envoy.Config{
		Rules:          f.Rules,
		Collector:      cmd.String("otlp"),
		TraceSampling:  cmd.Float("trace-sampling"),
		Listen:         cmd.String("listen"),
		Admin:          cmd.String("admin"),
		Legacy:         cmp.Or(cmd.String("legacy"), f.Envoy.Legacy, "127.0.0.1:8081"),
		Weft:           cmd.String("weft"),
		TLS:            weftTLS(cmd),
		WeftStreams:    cmd.Uint32("weft-max-streams"),
		RouteTimeout:   cmp.Or(cmd.Duration("route-timeout"), f.Envoy.RouteTimeout),
		MessageTimeout: cmp.Or(cmd.Duration("message-timeout"), f.Envoy.MessageTimeout),
		WeftTimeout:    f.Envoy.MessageTimeout,
		Retries:        &f.Envoy.Retries,
	}
	if c.MessageTimeout >= c.RouteTimeout {
		return nil, usageError{fmt.Errorf("--message-timeout %v is not less than --route-timeout %v: %s",
			c.MessageTimeout, c.RouteTimeout, "Envoy would give up a response while weft may still wait for MongoDB")}
	}
	switch format := cmd.String("format"); format {
	case "bootstrap":
		bootstrap, err := envoy.Bootstrap(c)
		if err != nil {
			return nil, err
		}
		return envoy.YAML(bootstrap)
	case envoy.CASecret, envoy.CertSecret:
		secret, err := envoy.Secret(c.TLS, format)
		if err != nil {
			return nil, err
		}
		return envoy.YAML(secret)
	case "istio":
		return envoy.Istio(c, envoy.IstioOptions{
			Namespace: cmd.String("namespace"), Selector: cmd.String("selector"), Port: cmd.Int("port"),
		})
	case "gateway":
		return envoy.Gateway(c, envoy.GatewayOptions{Namespace: cmd.String("namespace"), Gateway: cmd.String("gateway")})
	default:
		return nil, usageError{fmt.Errorf("unknown --format %q; use one of %s", format,
			"bootstrap, istio, gateway, weft-ca, weft-client")}
	}
}

// weftFlags returns the flags for the connections from Envoy to weft. Files are read by Envoy.
func weftFlags() []cli.Flag {
	return []cli.Flag{
		&cli.Uint32Flag{
			Name: "weft-max-streams", Value: envoy.DefaultWeftStreams, Sources: cli.EnvVars("WEFT_MAX_STREAMS"),
			Validator: atLeast[uint32](1),
			Usage:     "concurrent exchanges on one connection, as in \"weft serve --max-streams\"",
		},
		&cli.StringFlag{
			Name: "weft-tls-ca", Sources: cli.EnvVars("WEFT_ENVOY_TLS_CA"),
			Usage: "TLS with weft: `FILE`, as Envoy finds it, with the CA bundle (PEM) for weft's certificate",
		},
		&cli.StringFlag{
			Name: "weft-tls-san", Sources: cli.EnvVars("WEFT_ENVOY_TLS_SAN"),
			Usage: "`NAME` that weft's certificate must have: a SPIFFE ID, DNS name or IP address",
		},
		&cli.StringFlag{
			Name: "weft-tls-sni", Sources: cli.EnvVars("WEFT_ENVOY_TLS_SNI"),
			Usage: "`NAME` that Envoy sends as SNI; default: that of --weft-tls-san, if it is a DNS name",
		},
		&cli.StringFlag{
			Name: "weft-tls-cert", Sources: cli.EnvVars("WEFT_ENVOY_TLS_CERT"),
			Usage: "mutual TLS: `FILE` with Envoy's client certificate (PEM)",
		},
		&cli.StringFlag{
			Name: "weft-tls-key", Sources: cli.EnvVars("WEFT_ENVOY_TLS_KEY"),
			Usage: "`FILE` with the key of --weft-tls-cert (PEM)",
		},
		&cli.StringFlag{
			Name: "weft-tls-secrets", Sources: cli.EnvVars("WEFT_ENVOY_TLS_SECRETS"),
			Usage: "`FOLDER` with weft-ca.yaml and weft-client.yaml, made with --format weft-ca and weft-client: " +
				"with them Envoy reloads the certificates when their files are replaced; without, it reads them only at its start",
		},
	}
}

func weftTLS(cmd *cli.Command) envoy.TLS {
	return envoy.TLS{
		CA: cmd.String("weft-tls-ca"), SAN: cmd.String("weft-tls-san"), SNI: cmd.String("weft-tls-sni"),
		Cert: cmd.String("weft-tls-cert"), Key: cmd.String("weft-tls-key"), Secrets: cmd.String("weft-tls-secrets"),
	}
}
