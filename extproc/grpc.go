package extproc

import (
	"context"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
)

// MaxMessage is the default limit of messages for a gRPC server, in bytes. A message contains a body, which Envoy's
// configuration limits to slightly more than the rule's limit.
const MaxMessage = 64 << 20

// Stream is the transport of one exchange: a gRPC stream, or a fake in a test.
type Stream interface {
	// Context is canceled when the exchange ends. Its incoming metadata (google.golang.org/grpc/metadata) is the initial
	// metadata that Envoy sends.
	Context() context.Context
	// Receive returns the next message. The error is io.EOF when Envoy has closed its side.
	Receive() (*extprocv3.ProcessingRequest, error)
	Send(*extprocv3.ProcessingResponse) error
}

// Register registers the service envoy.service.ext_proc.v3.ExternalProcessor, which s implements, with a gRPC server.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	extprocv3.RegisterExternalProcessorServer(r, service{server: s})
}

type service struct {
	extprocv3.UnimplementedExternalProcessorServer
	server *Server
}

// Process implements [extprocv3.ExternalProcessorServer].
func (s service) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	return s.server.Process(grpcStream{stream})
}

type grpcStream struct {
	extprocv3.ExternalProcessor_ProcessServer
}

func (s grpcStream) Receive() (*extprocv3.ProcessingRequest, error) { return s.Recv() }
