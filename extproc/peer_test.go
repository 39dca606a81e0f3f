package extproc_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/structpb"

	"weft/enrich"
	"weft/extproc"
	"weft/internal/rulesfile"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		_, _ = os.Stderr.WriteString(err.Error())
		code = 1
	}
	os.Exit(code)
}

const core7 = `{"userId":7,"username":"u","email":"e","createdAt":"c"}`

// peer plays Envoy, message by message. test/envoy tests with a real Envoy; peer also sends messages that Envoy does
// not send.
type peer struct {
	conn    *grpc.ClientConn
	client  extprocv3.ExternalProcessorClient
	server  *extproc.Server // not to be changed once there are streams
	reports chan enrich.Report
}

func newPeer(t testing.TB, store enrich.Store) *peer {
	p := &peer{reports: make(chan enrich.Report, 20_000)} // more than any test has exchanges
	listener := bufconn.Listen(1 << 20)
	rules := rulesfile.Builtin().Rules
	ruleset := extproc.NewRuleset(rules, "")
	server := grpc.NewServer(grpc.MaxRecvMsgSize(extproc.MaxMessage), grpc.MaxConcurrentStreams(20_000))
	p.server = &extproc.Server{
		Rules:  func() *extproc.Ruleset { return ruleset },
		Store:  store,
		Report: func(r *enrich.Report) { p.reports <- *r },
	}
	p.server.Register(server)
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///weft", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
	})
	p.conn = conn
	p.client = extprocv3.NewExternalProcessorClient(conn)
	return p
}

func (p *peer) stream(
	ctx context.Context, t testing.TB, options ...grpc.CallOption,
) extprocv3.ExternalProcessor_ProcessClient {
	t.Helper()
	s, err := p.client.Process(ctx, options...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func headers(pairs ...string) *corev3.HeaderMap {
	m := &corev3.HeaderMap{}
	for i := 0; i < len(pairs); i += 2 {
		m.Headers = append(m.Headers, &corev3.HeaderValue{Key: pairs[i], RawValue: []byte(pairs[i+1])})
	}
	return m
}

func requestHeaders(pairs ...string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{Headers: headers(pairs...)},
	}}
}

func get7() *extprocv3.ProcessingRequest {
	return requestHeaders(":method", "GET", ":path", "/api/v1/users/7")
}

func responseHeaders(details string, bodyless bool, pairs ...string) *extprocv3.ProcessingRequest {
	attributes, _ := structpb.NewStruct(map[string]any{"response.code_details": details})
	return &extprocv3.ProcessingRequest{
		Request: &extprocv3.ProcessingRequest_ResponseHeaders{
			ResponseHeaders: &extprocv3.HttpHeaders{Headers: headers(pairs...), EndOfStream: bodyless},
		},
		Attributes: map[string]*structpb.Struct{"envoy.filters.http.ext_proc": attributes},
	}
}

func responseBody(body string, end bool) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_ResponseBody{
		ResponseBody: &extprocv3.HttpBody{Body: []byte(body), EndOfStream: end},
	}}
}

// roundTrip sends a message and returns the reply, or nil if the stream ends with OK instead.
func roundTrip(
	t testing.TB, s extprocv3.ExternalProcessor_ProcessClient, msg *extprocv3.ProcessingRequest,
) *extprocv3.ProcessingResponse {
	t.Helper()
	if err := s.Send(msg); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	reply, err := s.Recv()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

// expectEnd fails the test unless the stream ends with OK.
func expectEnd(t testing.TB, s extprocv3.ExternalProcessor_ProcessClient) {
	t.Helper()
	if reply, err := s.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("the stream continues: %v, %v", reply, err)
	}
}

func setHeader(r *extprocv3.CommonResponse, name string) string {
	for _, h := range r.GetHeaderMutation().GetSetHeaders() {
		if h.GetHeader().GetKey() == name {
			return string(h.GetHeader().GetRawValue())
		}
	}
	return ""
}
