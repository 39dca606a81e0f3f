package operations_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"weft/test/harness"
)

// TestReload changes the rules of a running weft, in the way in which Kubernetes changes a mounted ConfigMap.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	versions := 0
	publish := func(path string) { // a folder for each version, and a link that is turned to it
		versions++
		version := fmt.Sprintf("..version_%d", versions)
		text := strings.ReplaceAll(reloadRules, "PATH", path)
		for _, err := range []error{
			os.Mkdir(filepath.Join(dir, version), 0o700),
			os.WriteFile(filepath.Join(dir, version, "rules.yaml"), []byte(text), 0o600),
			os.Symlink(version, filepath.Join(dir, "..new")),
			os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	publish("/a/{id:int64}")
	rules := filepath.Join(dir, "rules.yaml")
	if err := os.Symlink("..data/rules.yaml", rules); err != nil {
		t.Fatal(err)
	}
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	admin := fmt.Sprintf("127.0.0.1:%d", port)
	socket := "unix:" + filepath.Join(t.TempDir(), "w")
	s := startServer(t, "--rules", rules, "--listen", socket, "--admin", admin)
	conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	takes := func(path string) bool {
		t.Helper()
		stream, err := extprocv3.NewExternalProcessorClient(conn).Process(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(requestHeaders(path)); err != nil {
			t.Fatal(err)
		}
		reply, err := stream.Recv()
		_ = stream.CloseSend()
		return err == nil && reply.GetRequestHeaders() != nil
	}
	if !takes("/a/1") || takes("/b/1") {
		t.Error("the rules at the start are not those of the file")
	}
	publish("/b/{id:int64}")
	s.expect(t, `msg="new rules"`)
	s.expect(t, "Envoy configuration differs: regenerate it with weft envoy --rules "+rules)
	if takes("/a/1") || !takes("/b/1") {
		t.Error("new rules are not in use")
	}
	publish("/c/{id:int}")
	s.expect(t, rules+":4:19: rules[0].match.path: {id:int}: unknown type")
	if !takes("/b/1") {
		t.Error("a bad file has ended the rules from before")
	}
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`weft_rules_reloads_total{result="applied"} 1`, `weft_rules_reloads_total{result="refused"} 1`, `weft_rules_info{hash="`,
		`weft_exchanges_total{also="",disposition="passed",reason="no-rule",rule=""} 2`,
	} {
		if !strings.Contains(string(metrics), want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
}

const reloadRules = `version: 1
rules:
  - name: a
    match: {path: "PATH"}
    core: {verify: {id: id}}
    extensions:
      x: {database: d, collection: c, where: {id: {param: id}}, fields: {n: any}}
`

// TestServe is the life of a server: it serves while MongoDB is down, survives the leftovers of kill -9, keeps others
// from its socket, and lets the exchanges under way finish when it is told to stop.
func TestServe(t *testing.T) {
	socket := "unix:" + filepath.Join(t.TempDir(), "run", "weft.sock") // the folder is made
	killed := startServer(t, "--listen", socket)
	if err := killed.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.cmd.Wait()

	s := startServer(t, "--listen", socket)
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "SIGHUP does nothing")

	second, err := weft(t.Context(), "serve", "--admin", "", "--listen", socket).CombinedOutput()
	if want := "weft: listen on " + socket + ": another process serves on this socket; stop it or choose another path\n"; err == nil || string(second) != want {
		t.Errorf("a second weft on the socket: %v\n got %q\nwant %q", err, second, want)
	}

	conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := extprocv3.NewExternalProcessorClient(conn).Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&extprocv3.ProcessingRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("a message that is no request: %v, want the end of the stream", err)
	}

	s.stop(t)
	if _, err := os.Stat(strings.TrimPrefix(socket, "unix:")); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestServeSecondSignal(t *testing.T) {
	socket := "unix:" + filepath.Join(t.TempDir(), "weft.sock")
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	admin := fmt.Sprintf("127.0.0.1:%d", port)
	s := startServer(t, "--listen", socket, "--admin", admin)
	conn, err := grpc.NewClient(socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := extprocv3.NewExternalProcessorClient(conn).Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// A reply shows that the exchange is under way; it then waits for the next message.
	if err := stream.Send(requestHeaders("/api/v1/users/7")); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if got := page(t, admin+"/readyz"); got != "200 ok\n" {
		t.Errorf("/readyz: %q", got)
	}
	if status, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || status.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("gRPC health: %v, %v", status, err)
	}
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: "envoy.service.ext_proc.v3.ExternalProcessor"})
	if err != nil {
		t.Fatal(err)
	}
	if status, err := watch.Recv(); err != nil || status.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("gRPC health: %v, %v", status, err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "stopping:")
	if status, err := watch.Recv(); err != nil || status.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("gRPC health while it stops: %v, %v", status, err)
	}
	if got := page(t, admin+"/readyz"); got != "503 stopping\n" {
		t.Errorf("/readyz while it stops: %q", got)
	}
	if got := page(t, admin+"/livez"); got != "200 ok\n" {
		t.Errorf("/livez while it stops: %q", got)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	if status := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the second signal did not end weft: %v", s.cmd.ProcessState)
	}
}

// page returns the status and the body of a page.
func page(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get("http://" + url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

func requestHeaders(path string) *extprocv3.ProcessingRequest {
	return &extprocv3.ProcessingRequest{Request: &extprocv3.ProcessingRequest_RequestHeaders{
		RequestHeaders: &extprocv3.HttpHeaders{Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
			{Key: ":method", RawValue: []byte("GET")},
			{Key: ":path", RawValue: []byte(path)},
		}}},
	}}
}
