package main

import (
	"context"
	"net"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
)

// noop is an external processor that changes nothing. It measures the minimum cost of the protocol.
type noop struct {
	extprocv3.UnimplementedExternalProcessorServer
}

// Process implements the service.
func (noop) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	for {
		request, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // Envoy has closed the stream
		}
		response := &extprocv3.ProcessingResponse{}
		switch request.GetRequest().(type) {
		case *extprocv3.ProcessingRequest_RequestHeaders:
			response.Response = &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: &extprocv3.HeadersResponse{}}
		case *extprocv3.ProcessingRequest_ResponseHeaders:
			response.Response = &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}}
		case *extprocv3.ProcessingRequest_ResponseBody:
			response.Response = &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: &extprocv3.BodyResponse{}}
		}
		if err := stream.Send(response); err != nil {
			return nil //nolint:nilerr // the same
		}
	}
}

func serveNoop(ctx context.Context, socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	extprocv3.RegisterExternalProcessorServer(server, noop{})
	context.AfterFunc(ctx, server.Stop)
	return server.Serve(listener)
}
