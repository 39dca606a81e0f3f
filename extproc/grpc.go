package extproc

import (
	"context"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
)

// MaxMessage is the default size of the largest message that a gRPC server should accept, in bytes. A message holds a
// body: Envoy's configuration limits those to a little over the rule's limit.
const MaxMessage = 64 << 20

// Stream is one exchange as [Server.Process] sees it, whatever carries it: a gRPC stream, for example, or a test.
type Stream interface {
	// Context ends with the exchange. The metadata that Envoy sends as the stream begins is its incoming metadata
	// (google.golang.org/grpc/metadata).
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
