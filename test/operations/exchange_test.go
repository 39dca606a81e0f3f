package operations_test

import (
	"errors"
	"io"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	serving    = healthpb.HealthCheckResponse_SERVING
	notServing = healthpb.HealthCheckResponse_NOT_SERVING
)

// TestEmptyMessageEndsStream: weft ends the stream on a message without a request.
func TestEmptyMessageEndsStream(t *testing.T) {
	s := newSystem(t)
	startWeft(t, s)
	stream, err := extprocv3.NewExternalProcessorClient(dial(t, s.Socket)).Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&extprocv3.ProcessingRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("%v, want the end of the stream", err)
	}
}

// dial connects to weft.
func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// startExchange sends request headers as Envoy does, and returns the error of the reply. Without an error, weft is
// waiting for response headers.
func startExchange(
	t *testing.T, conn *grpc.ClientConn, path string,
) (extprocv3.ExternalProcessor_ProcessClient, error) {
	t.Helper()
	stream, err := extprocv3.NewExternalProcessorClient(conn).Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(requestHeaders(path)); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	return stream, err
}

// exchange sends all messages of an exchange as Envoy does.
func exchange(t *testing.T, conn *grpc.ClientConn, requestID, traceParent, path, status, details, body string) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceParent)
	stream, err := extprocv3.NewExternalProcessorClient(conn).Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	request := requestHeaders(path)
	headers := request.GetRequestHeaders().GetHeaders()
	headers.Headers = append(headers.Headers, &corev3.HeaderValue{Key: "x-request-id", RawValue: []byte(requestID)})
	messages := []*extprocv3.ProcessingRequest{request, responseHeaders(status, details), responseBody(body)}
	for _, message := range messages {
		if err := stream.Send(message); err != nil {
			break
		}
		if _, err := stream.Recv(); err != nil {
			break
		}
	}
	if _, err := stream.Recv(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}

func requestHeaders(path string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
			{Key: ":method", RawValue: []byte("GET")},
			{Key: ":path", RawValue: []byte(path)},
		}}},
	}}
}

func responseHeaders(status, details string) *extprocv3.ProcessingRequest {
	attributes := &structpb.Struct{Fields: map[string]*structpb.Value{
		"response.code_details": structpb.NewStringValue(details),
	}}
	return &extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extprocv3.HttpHeaders{
			Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":status", RawValue: []byte(status)}}},
		}},
		Attributes: map[string]*structpb.Struct{"envoy.filters.http.ext_proc": attributes},
	}
}

func responseBody(body string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseBody{
		ResponseBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: true},
	}}
}

// checkHealth checks that weft's gRPC health is SERVING.
func checkHealth(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	request := &healthpb.HealthCheckRequest{Service: extprocv3.ExternalProcessor_ServiceDesc.ServiceName}
	response, err := healthpb.NewHealthClient(conn).Check(t.Context(), request)
	if err != nil || response.GetStatus() != serving {
		t.Errorf("gRPC health: %v, %v", response, err)
	}
}

// watchHealth watches weft's gRPC health, which is SERVING.
func watchHealth(t *testing.T, conn *grpc.ClientConn, service string) healthpb.Health_WatchClient {
	t.Helper()
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	expectHealth(t, watch, serving)
	return watch
}

func expectHealth(t *testing.T, watch healthpb.Health_WatchClient, want healthpb.HealthCheckResponse_ServingStatus) {
	t.Helper()
	if response, err := watch.Recv(); err != nil || response.GetStatus() != want {
		t.Errorf("gRPC health: %v, %v, want %v", response, err, want)
	}
}
