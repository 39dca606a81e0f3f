package grpcloop

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// RegisterService implements [grpc.ServiceRegistrar], for services that protoc has generated: each call has a goroutine of its
// own, as those of grpc.Server have. Headers and trailers that they set are not sent.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	for _, m := range desc.Methods {
		s.Handle("/"+desc.ServiceName+"/"+m.MethodName, func(stream *Stream) error {
			call := serverStream{stream}
			reply, err := m.Handler(impl, stream.Context(), call.RecvMsg, nil)
			if err != nil {
				return err
			}
			return call.SendMsg(reply)
		})
	}
	for _, m := range desc.Streams {
		s.Handle("/"+desc.ServiceName+"/"+m.StreamName, func(stream *Stream) error {
			stream.Detach() // it may wait for something else before the first message
			return m.Handler(impl, serverStream{stream})
		})
	}
}

// serverStream is a Stream as generated code wants it.
type serverStream struct{ stream *Stream }

func (s serverStream) Context() context.Context     { return s.stream.Context() }
func (s serverStream) SetHeader(metadata.MD) error  { return nil }
func (s serverStream) SendHeader(metadata.MD) error { return nil }
func (s serverStream) SetTrailer(metadata.MD)       {}

// RecvMsg implements [grpc.ServerStream].
func (s serverStream) RecvMsg(m any) error {
	b, err := s.stream.Receive()
	s.stream.Detach() // it may do whatever it likes with that
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(b, m.(proto.Message)); err != nil {
		return status.Error(codes.Internal, err.Error())
	}
	return nil
}

// SendMsg implements [grpc.ServerStream]. It waits for another end that is behind.
func (s serverStream) SendMsg(m any) error {
	b, err := proto.Marshal(m.(proto.Message))
	if err != nil {
		return err
	}
	if err := s.stream.Send(b, nil); err != nil {
		return err
	}
	s.stream.awaitRoom()
	return nil
}

// IsCanceled reports whether err, of a stream, is that the other end wants no more, or has said all.
func IsCanceled(err error) bool {
	return errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled
}
