package operations_test

import (
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"weft/test/harness"
)

// TestMetricsAreBounded lets clients and legacy services send what they can think of. What is counted has labels that were
// there before, the log has no ids of theirs, and Prometheus' own tool finds no fault with names and units.
func TestMetricsAreBounded(t *testing.T) {
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	admin := fmt.Sprintf("127.0.0.1:%d", port)
	socket := "unix:" + filepath.Join(t.TempDir(), "w")
	s := startServer(t, "--listen", socket, "--admin", admin, "--budget", "1ms")
	conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	attack := func(n int) {
		id := fmt.Sprintf("%d%d", n, n)
		for _, path := range []string{"/" + id, "/api/v1/users/" + id, "/api/v1/users/x" + id, "/api/v1/users/" + id + "?q=" + id, "/api/v3/composite-profile/" + id + "/", "\xff" + id} {
			exchange(t, conn, id, path, fmt.Sprint(200+n%400), fmt.Sprintf("details_%d", n))
			exchange(t, conn, id, path, fmt.Sprint(n), "via_upstream")
			exchange(t, conn, id, path, "200", "via_upstream")
		}
	}
	series := func() (names []string) {
		for line := range strings.Lines(page(t, admin+"/metrics")) {
			if strings.HasPrefix(line, "weft_") {
				name, _, _ := strings.Cut(line, " ")
				names = append(names, name)
			}
		}
		return names
	}
	for n := range 100 { // the statuses of each hundred are among them
		attack(n * 7)
	}
	before := series()
	for n := range 100 {
		attack(n*7 + 1_000_003)
	}
	_, text, _ := strings.Cut(page(t, admin+"/metrics"), " ")
	if after := series(); len(after) != len(before) || len(before) < 100 {
		t.Errorf("%d series, then %d:\n%s", len(before), len(after), strings.Join(after, "\n"))
	}

	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	warned := false
	for line := range s.log {
		warned = warned || strings.Contains(line, "MongoDB does not answer in time")
		if strings.Contains(line, "1000003") {
			t.Errorf("the log has a client's id: %s", line)
		}
	}
	if !warned {
		t.Error("the log does not say that MongoDB does not answer")
	}

	checkMetrics(t, text)
	for _, want := range []string{"\nweft_exchanges_open 0\n", `weft_legacy_duration_seconds_count{rule="user"} `, `weft_mongodb_duration_seconds_count{rule="user"} `} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// checkMetrics lets Prometheus' own tool look at names, units and help.
func checkMetrics(t *testing.T, text string) {
	t.Helper()
	promtool, err := harness.Tool("promtool")
	if err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), promtool, "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// exchange plays Envoy for one exchange of a client who sends an id wherever there is a place for it.
func exchange(t *testing.T, conn *grpc.ClientConn, id, path, status, details string) {
	t.Helper()
	exchangeWith(t, conn, id, id, path, status, details, `{"id":`+id)
}

// exchangeWith plays Envoy for one exchange.
func exchangeWith(t *testing.T, conn *grpc.ClientConn, id, traceParent, path, status, details, body string) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", traceParent)
	stream, err := extprocv3.NewExternalProcessorClient(conn).Process(ctx)
	if err != nil {
		t.Fatal(err)
	}
	request := requestHeaders(path)
	headers := request.GetRequestHeaders().GetHeaders()
	headers.Headers = append(headers.Headers, &corev3.HeaderValue{Key: "x-request-id", RawValue: []byte(id)})
	for _, message := range []*extprocv3.ProcessingRequest{request, responseHeaders(status, details), responseBody(body)} {
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

func responseHeaders(status, details string) *extprocv3.ProcessingRequest {
	attributes := &structpb.Struct{Fields: map[string]*structpb.Value{"response.code_details": structpb.NewStringValue(details)}}
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
