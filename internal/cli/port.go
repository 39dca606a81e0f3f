package cli

import (
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
	"weft/internal/envoyhttp"
	"weft/internal/mtls"
	"weft/internal/observe"
)

// port has the settings of the gRPC server: its address, TLS, and the limits of a connection.
type port struct {
	listen     string
	insecure   bool
	tls        mtls.Options
	allowed    []string // SPIFFE IDs
	streams    uint32   // maximum per connection
	message    int      // maximum size, in bytes
	reflection bool
}

func (p *port) flags() []cli.Flag {
	return []cli.Flag{
		stringVar(&p.listen, "listen", defaultSocket, "WEFT_LISTEN",
			"address to listen on: unix:`PATH`, or host:port with TLS"),
		stringVar(&p.tls.Cert, "tls-cert", "", "WEFT_TLS_CERT",
			"`FILE` with weft's certificate (PEM); the TLS files are reloaded when they change"),
		stringVar(&p.tls.Key, "tls-key", "", "WEFT_TLS_KEY", "`FILE` with the private key of --tls-cert (PEM)"),
		stringVar(&p.tls.ClientCA, "tls-client-ca", "", "WEFT_TLS_CLIENT_CA",
			"`FILE` with the CA bundle (PEM) for client certificates: mutual TLS"),
		&cli.StringSliceFlag{
			Name: "allow-spiffe-id", Sources: cli.EnvVars("WEFT_ALLOW_SPIFFE_ID"), Destination: &p.allowed,
			Usage: "SPIFFE `ID` of a client that may connect; repeat it, or separate IDs by commas " +
				"(default: any client that --tls-client-ca verifies)",
		},
		boolVar(&p.insecure, "insecure", false, "WEFT_INSECURE",
			"serve on host:port without TLS: any client that reaches the port can read the documents of all users"),
		&cli.Uint32Flag{
			Name: "max-streams", Value: envoy.DefaultWeftStreams, Sources: cli.EnvVars("WEFT_MAX_STREAMS"),
			Destination: &p.streams, Validator: atLeast[uint32](1),
			Usage: "concurrent exchanges on one connection, as in \"weft envoy --weft-max-streams\"; " +
				"Envoy opens another connection for more",
		},
		&cli.IntFlag{
			Name: "max-message-bytes", Value: extproc.MaxMessage, Sources: cli.EnvVars("WEFT_MAX_MESSAGE_BYTES"),
			Destination: &p.message, Validator: atLeast(1),
			Usage: "maximum size of a gRPC message, which contains a body; set it higher than every core.limit in " +
				"the rules; a larger response passes",
		},
		boolVar(&p.reflection, "grpc-reflection", false, "WEFT_GRPC_REFLECTION",
			"serve gRPC reflection, for tools such as grpcurl"),
	}
}

// validate parses the SPIFFE IDs and checks that the flags are consistent.
func (p *port) validate() error {
	for _, text := range p.allowed {
		id, err := spiffeid.FromString(strings.TrimSpace(text))
		if err != nil {
			return usageErrorf("--allow-spiffe-id %q: %w; want, for example, %s", text, err,
				"spiffe://cluster.local/ns/shop/sa/envoy")
		}
		p.tls.Allowed = append(p.tls.Allowed, id)
	}
	switch hasTLS := p.tls.Cert != ""; {
	case hasTLS != (p.tls.Key != ""):
		return usageErrorf("--tls-cert and --tls-key are required together")
	case !hasTLS && (p.tls.ClientCA != "" || len(p.allowed) > 0):
		return usageErrorf("--tls-client-ca and --allow-spiffe-id need --tls-cert and --tls-key")
	case p.tls.ClientCA == "" && len(p.allowed) > 0:
		return usageErrorf("--allow-spiffe-id needs --tls-client-ca: without it clients send no certificate")
	case hasTLS && p.insecure:
		return usageErrorf("--insecure and --tls-cert exclude each other; remove one")
	case !hasTLS && !p.insecure && !strings.HasPrefix(p.listen, "unix:"):
		return usageErrorf("--listen %s is TCP without TLS: %s", p.listen,
			"set --tls-cert, --tls-key and --tls-client-ca, listen on unix:PATH, or accept the risk with --insecure")
	}
	return nil
}

// streamWorkers is the number of goroutines that serve one exchange after another. Further concurrent exchanges get a
// new goroutine each.
const streamWorkers = 128

// grpcServer returns the gRPC server. Only reflection is registered.
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
			s.logger.Warn("no --tls-client-ca: any client that reaches the port can read the documents of all users")
		}
	}
	server := grpc.NewServer(
		grpc.Creds(transport),
		grpc.ConnectionTimeout(10*time.Second), // for the handshakes of TLS and HTTP/2
		grpc.MaxConcurrentStreams(s.port.streams),
		grpc.MaxRecvMsgSize(s.port.message),
		grpc.UnaryInterceptor(processor.CheckEnvoyConfig),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			// Close the connections of an Envoy that disappeared without closing them, for example in a power failure.
			Time: time.Minute, Timeout: 20 * time.Second,
			// No MaxConnectionAgeGrace: open streams finish.
			MaxConnectionAge: s.drain.maxAge,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
		// Reused goroutines do not have to grow their stacks again.
		grpc.NumStreamWorkers(streamWorkers),
		// A body of the default core.limit fits the flow-control window.
		grpc.InitialWindowSize(1<<20+envoyhttp.BufferSlack), grpc.InitialConnWindowSize(16<<20),
	)
	if s.port.reflection {
		reflection.Register(server)
	}
	return server, nil
}
