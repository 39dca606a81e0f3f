package command

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"weft/envoy"
	"weft/extproc"
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

	reflection bool
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
		&cli.BoolFlag{
			Name: "grpc-reflection", Sources: cli.EnvVars("WEFT_GRPC_REFLECTION"),
			Usage: "serve gRPC reflection, for tools such as grpcurl",
		},
	}
}

func portOf(cmd *cli.Command) (port, error) {
	p := port{
		listen: cmd.String("listen"), insecure: cmd.Bool("insecure"), streams: cmd.Uint32("max-streams"), message: cmd.Int("max-message-bytes"),
		reflection: cmd.Bool("grpc-reflection"),
		tls:        mtls.Options{Cert: cmd.String("tls-cert"), Key: cmd.String("tls-key"), ClientCA: cmd.String("tls-client-ca")},
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

// streamWorkers is the number of exchanges that are served by goroutines that wait for the next one.
const streamWorkers = 128

// grpcServer returns the gRPC server, without services.
func (s *server) grpcServer(registry prometheus.Registerer, processor *extproc.Server) (*grpc.Server, error) {
	transport := insecure.NewCredentials()
	if s.port.tls.Cert != "" {
		withTLS, certificate, err := mtls.Credentials(s.port.tls, s.logger)
		if err != nil {
			return nil, fmt.Errorf("TLS: %w", err)
		}
		transport = withTLS
		observe.WatchCertificate(registry, certificate)
		if s.port.tls.ClientCA == "" {
			s.logger.Warn("TLS without --tls-client-ca: any client that reaches the port can read the documents of all users")
		}
	}
	server := grpc.NewServer(
		grpc.Creds(transport),
		grpc.ConnectionTimeout(10*time.Second), // for the handshakes of TLS and HTTP/2
		grpc.MaxConcurrentStreams(s.port.streams),
		grpc.MaxRecvMsgSize(s.port.message),
		grpc.StreamInterceptor(s.metrics.CountOpen), grpc.UnaryInterceptor(processor.CheckEnvoyConfig),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			// A connection to an Envoy that is gone without closing it, as after a power failure, is closed soon.
			Time: time.Minute, Timeout: 20 * time.Second,
			// A connection of this age is drained, like all of them when weft stops; its streams have the time they need.
			MaxConnectionAge: s.drain.maxAge,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		// Goroutines that serve one exchange after another have stacks of the right size already.
		grpc.NumStreamWorkers(streamWorkers),
		// A body of the default limit arrives without waiting for a window update.
		grpc.InitialWindowSize(1<<20+extproc.BufferSlack), grpc.InitialConnWindowSize(16<<20),
	)
	if s.port.reflection {
		reflection.Register(server)
	}
	return server, nil
}
