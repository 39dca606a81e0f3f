package command

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/urfave/cli/v3"

	"weft/envoy"
	"weft/extproc"
	"weft/internal/grpcloop"
	"weft/internal/mtls"
	"weft/internal/observe"
)

// port is who may talk to weft, and how much at once.
type port struct {
	listen   string
	insecure bool
	tls      mtls.Options
	streams  uint32 // of a connection
	message  int    // bytes
}

func portFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "listen", Value: defaultSocket, Sources: cli.EnvVars("WEFT_LISTEN"),
			Usage: "unix:`PATH`, or host:port with TLS, to serve on",
		},
		&cli.StringFlag{
			Name: "tls-cert", Sources: cli.EnvVars("WEFT_TLS_CERT"),
			Usage: "`FILE` with weft's certificate (PEM); this and the other two are read again when they change",
		},
		&cli.StringFlag{Name: "tls-key", Sources: cli.EnvVars("WEFT_TLS_KEY"), Usage: "`FILE` with its key (PEM)"},
		&cli.StringFlag{
			Name: "tls-client-ca", Sources: cli.EnvVars("WEFT_TLS_CLIENT_CA"),
			Usage: "`FILE` with the authorities (PEM) that vouch for clients: mutual TLS",
		},
		&cli.StringSliceFlag{
			Name: "allow-spiffe-id", Sources: cli.EnvVars("WEFT_ALLOW_SPIFFE_ID"),
			Usage: "SPIFFE `ID` of a client that may connect; may be repeated, or have commas (default: all that --tls-client-ca vouches for)",
		},
		&cli.BoolFlag{
			Name: "insecure", Sources: cli.EnvVars("WEFT_INSECURE"),
			Usage: "serve on host:port without TLS: whoever reaches the port can read what MongoDB has of anybody",
		},
		&cli.Uint32Flag{
			Name: "max-streams", Value: envoy.DefaultWeftStreams, Sources: cli.EnvVars("WEFT_MAX_STREAMS"), Validator: atLeast[uint32](1),
			Usage: "exchanges at once on one connection, as in \"weft envoy --weft-max-streams\"; Envoy opens another one for more",
		},
		&cli.IntFlag{
			Name: "max-message-bytes", Value: extproc.MaxMessage, Sources: cli.EnvVars("WEFT_MAX_MESSAGE_BYTES"), Validator: atLeast(1),
			Usage: "size of the largest message, which holds a body: more than the largest core limit of the rules; a response that is larger passes",
		},
	}
}

func portOf(cmd *cli.Command) (port, error) {
	p := port{
		listen: cmd.String("listen"), insecure: cmd.Bool("insecure"), streams: cmd.Uint32("max-streams"), message: cmd.Int("max-message-bytes"),
		tls: mtls.Options{Cert: cmd.String("tls-cert"), Key: cmd.String("tls-key"), ClientCA: cmd.String("tls-client-ca")},
	}
	for _, text := range cmd.StringSlice("allow-spiffe-id") {
		id, err := spiffeid.FromString(strings.TrimSpace(text))
		if err != nil {
			return p, usageError{fmt.Errorf("--allow-spiffe-id %q: %w; want, for example, spiffe://cluster.local/ns/shop/sa/envoy", text, err)}
		}
		p.tls.Allowed = append(p.tls.Allowed, id)
	}
	var problem string
	switch hasTLS := p.tls.Cert != ""; {
	case hasTLS != (p.tls.Key != ""):
		problem = "--tls-cert and --tls-key go together"
	case !hasTLS && (p.tls.ClientCA != "" || len(p.tls.Allowed) > 0):
		problem = "--tls-client-ca and --allow-spiffe-id need --tls-cert and --tls-key"
	case p.tls.ClientCA == "" && len(p.tls.Allowed) > 0:
		problem = "--allow-spiffe-id needs --tls-client-ca: without it nobody shows a certificate"
	case hasTLS && p.insecure:
		problem = "--insecure is without TLS: leave it out, or --tls-cert"
	case !hasTLS && !p.insecure && !strings.HasPrefix(p.listen, "unix:"):
		problem = fmt.Sprintf("--listen %s is TCP, where others may read and ask: give --tls-cert, --tls-key and --tls-client-ca, or listen on unix:PATH, or say --insecure", p.listen)
	}
	if problem != "" {
		return p, usageError{errors.New(problem)}
	}
	return p, nil
}

// grpcServer makes the gRPC server. Connections of a certain age end like those of a weft that stops, but that new ones are taken.
func (s *server) grpcServer(registry prometheus.Registerer) (*grpcloop.Server, error) {
	server := &grpcloop.Server{
		MaxStreams: s.port.streams, MaxMessage: s.port.message, MaxAge: s.drain.maxAge,
		// An Envoy that is gone without a word, as a machine that loses its power is, leaves nothing here for long.
		Keepalive: time.Minute, KeepaliveTimeout: 20 * time.Second,
	}
	if s.port.tls.Cert == "" {
		return server, nil
	}
	credentials, certificate, err := mtls.Credentials(s.port.tls, s.logger)
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	server.Credentials = credentials
	observe.WatchCertificate(registry, certificate)
	if s.port.tls.ClientCA == "" {
		s.logger.Warn("TLS without --tls-client-ca: whoever reaches the port can read what MongoDB has of anybody")
	}
	return server, nil
}
