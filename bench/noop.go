package main

import (
	"context"
	"net"
	"net/http"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filterv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"weft/enrich"
	"weft/internal/grpcloop"
)

// noop is an external processor that does nothing: the floor of the protocol, as one would write it. Or it changes what
// weft changes, without reading anything, in one of several ways.
type noop struct {
	extprocv3.UnimplementedExternalProcessorServer
	way string
}

const (
	nothing     = "noop"     // three messages, no change
	looping     = "loop"     // the same on weft's gRPC server
	changing    = "changing" // three messages; in the last reply, a body with a few headers
	allHeaders  = "headers"  // the same, but all headers that could have to be changed are
	twoMessages = "two"      // the response's head is not sent (response_header_mode SKIP)
)

// Process implements the service.
func (n noop) Process(stream extprocv3.ExternalProcessor_ProcessServer) error {
	for {
		msg, err := stream.Recv()
		if err != nil {
			return nil //nolint:nilerr // Envoy has ended the exchange
		}
		if err := stream.Send(n.reply(msg)); err != nil {
			return nil //nolint:nilerr // the same
		}
	}
}

// converse is Process on weft's gRPC server.
func (n noop) converse(stream *grpcloop.Stream) error {
	for {
		b, err := stream.Receive()
		if err != nil {
			return nil //nolint:nilerr // Envoy has ended the exchange
		}
		msg := &extprocv3.ProcessingRequest{}
		if err := proto.Unmarshal(b, msg); err != nil {
			return err
		}
		if b, err = proto.Marshal(n.reply(msg)); err != nil {
			return err
		}
		if err := stream.Send(b, nil); err != nil {
			return nil //nolint:nilerr // the same
		}
	}
}

func (n noop) reply(msg *extprocv3.ProcessingRequest) *extprocv3.ProcessingResponse {
	reply := &extprocv3.ProcessingResponse{}
	switch msg.GetRequest().(type) {
	case *extprocv3.ProcessingRequest_RequestHeaders:
		r := &extprocv3.HeadersResponse{}
		if n.changes() {
			r.Response = &extprocv3.CommonResponse{HeaderMutation: n.request()}
		}
		if n.way == twoMessages {
			reply.ModeOverride = mode(filterv3.ProcessingMode_SKIP, filterv3.ProcessingMode_BUFFERED_PARTIAL)
		}
		reply.Response = &extprocv3.ProcessingResponse_RequestHeaders{RequestHeaders: r}
	case *extprocv3.ProcessingRequest_ResponseHeaders:
		if n.changes() {
			reply.ModeOverride = mode(filterv3.ProcessingMode_SEND, filterv3.ProcessingMode_BUFFERED_PARTIAL)
		}
		reply.Response = &extprocv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &extprocv3.HeadersResponse{}}
	case *extprocv3.ProcessingRequest_ResponseBody:
		r := &extprocv3.BodyResponse{}
		if n.changes() {
			r.Response = n.response(msg.GetResponseBody().GetBody())
		}
		reply.Response = &extprocv3.ProcessingResponse_ResponseBody{ResponseBody: r}
	}
	return reply
}

func (n noop) changes() bool { return n.way != nothing && n.way != looping }

func mode(head filterv3.ProcessingMode_HeaderSendMode, body filterv3.ProcessingMode_BodySendMode) *filterv3.ProcessingMode {
	return &filterv3.ProcessingMode{RequestHeaderMode: filterv3.ProcessingMode_SEND, ResponseHeaderMode: head, ResponseBodyMode: body}
}

// request has the legacy service asked as weft has it.
func (n noop) request() *extprocv3.HeaderMutation {
	change := enrich.LegacyRequest(http.MethodGet)
	if n.way != allHeaders {
		change.Remove = nil
	}
	return mutation(change)
}

// response makes something as long as a composite.
func (n noop) response(core []byte) *extprocv3.CommonResponse {
	body := append([]byte(`{"core":`), core...)
	body = append(body, `,"extension":{"userId":12345,"tags":["vip","tag 5"],"lastActivityScore":25.9,"customSettings":{"theme":"dark","language":"en"}},"errors":[]}`...)
	change := enrich.Answer{ETag: `"0123456789abcdef0123456789abcdef"`, Outcome: enrich.Outcome{Disposition: enrich.Composed}}.Headers()
	change.Remove = append(change.Remove, "content-length")
	if n.way == changing {
		change.Remove = nil
	}
	return &extprocv3.CommonResponse{
		HeaderMutation: mutation(change),
		BodyMutation:   &extprocv3.BodyMutation{Mutation: &extprocv3.BodyMutation_Body{Body: body}},
	}
}

func mutation(change enrich.Headers) *extprocv3.HeaderMutation {
	m := &extprocv3.HeaderMutation{RemoveHeaders: change.Remove}
	for _, h := range change.Set {
		m.SetHeaders = append(m.SetHeaders, &corev3.HeaderValueOption{
			Header:       &corev3.HeaderValue{Key: h.Name, RawValue: []byte(h.Value)},
			AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return m
}

func serveNoop(ctx context.Context, socket, way string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	if way == looping {
		server := &grpcloop.Server{}
		server.Handle(extprocv3.ExternalProcessor_Process_FullMethodName, noop{way: way}.converse)
		go func() {
			<-ctx.Done()
			server.Stop()
		}()
		return server.Serve(listener)
	}
	server := grpc.NewServer()
	extprocv3.RegisterExternalProcessorServer(server, noop{way: way})
	go func() {
		<-ctx.Done()
		server.Stop()
	}()
	return server.Serve(listener)
}
