package operations_test

import (
	"errors"
	"io"
	"syscall"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// TestRollingRestart restarts two instances of weft, one after the other and again and again, under clients who look at
// every answer: each is a whole composite.
func TestRollingRestart(t *testing.T) {
	const restarts, clients = 20, 64
	w := startWorld(t)
	var sockets [2]string
	var instances [2]*server
	start := func(i int) {
		// Envoy checks once a second which instances there are.
		instances[i] = startServer(t, "--listen", sockets[i], "--mongodb-uri", w.mongod.URI(), "--drain-window", "3s")
	}
	for i := range sockets {
		sockets[i] = socket(t)
		start(i)
	}
	w.startEnvoy(t, "--weft", sockets[0]+","+sockets[1])
	load := w.startLoad(t, clients)
	for n := range restarts {
		if t.Failed() {
			break
		}
		instances[n%2].stop(t)
		start(n % 2)
	}
	t.Logf("%d restarts, %d whole answers", restarts, load.end())
}

// TestConnectionAge lets connections grow no older than a moment: Envoy opens new ones, and nothing is lost. There are so many, under so
// many clients, since what may be lost is the last answer of a connection, when it is closed before Envoy has read it.
func TestConnectionAge(t *testing.T) {
	w := startWorld(t)
	at := socket(t)
	startServer(t, "--listen", at, "--mongodb-uri", w.mongod.URI(), "--max-connection-age", "20ms")
	w.startEnvoy(t, "--weft", at)
	load := w.startLoad(t, 32)
	eventually(t, "200 connections have been opened", func() bool { return t.Failed() || w.stat(t, "cluster.weft.upstream_cx_total") > 200 })
	t.Logf("%d whole answers", load.end())
}

// TestDrainWatch: who watches weft's health hears that it stops, and does not keep it.
func TestDrainWatch(t *testing.T) {
	at := socket(t)
	s := startServer(t, "--listen", at, "--drain-deadline", "1h")
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if now, err := watch.Recv(); err != nil || now.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", now, err)
	}
	s.stop(t)
	if now, err := watch.Recv(); err != nil || now.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("while it stops: %v, %v", now, err)
	}
	if now, err := watch.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("when the window is over: %v, %v", now, err)
	}
}

// TestDrainDeadline: an exchange that does not end is not waited for without end, and weft ends with 0.
func TestDrainDeadline(t *testing.T) {
	at := socket(t)
	s := startServer(t, "--listen", at, "--drain-deadline", "50ms")
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := extprocv3.NewExternalProcessorClient(conn).Process(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(requestHeaders("/api/v1/users/7")); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the exchange has ended by itself: %v", err)
	}
	s.expect(t, "the drain deadline is over")
	s.expect(t, "msg=stopped")
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("weft did not end with 0: %v", err)
	}
}
