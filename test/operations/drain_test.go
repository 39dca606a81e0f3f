package operations_test

import (
	"errors"
	"io"
	"os/exec"
	"syscall"
	"testing"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/test/harness"
)

// TestRollingRestart restarts two instances of weft in turn, under load. All responses are composed.
func TestRollingRestart(t *testing.T) {
	const restarts, clients = 20, 64
	s := startSystem(t)
	sockets := [2]string{s.Socket, s.Socket + "2"}
	var instances [2]*harness.Process
	start := func(i int) {
		// Envoy checks the health of the instances once a second.
		instances[i] = startWeft(t, s, "--listen", sockets[i], "--drain-window", "3s")
	}
	start(0)
	start(1)
	startEnvoy(t, s, "--weft", sockets[0]+","+sockets[1])
	stopLoad := startLoad(t, s, clients)
	for n := 0; n < restarts && !t.Failed(); n++ {
		stopWeft(t, instances[n%2])
		start(n % 2)
	}
	stopLoad()
}

// TestConnectionAge: Envoy opens new connections when weft closes old ones, and all responses are composed. The test
// needs many connections because only the last message on a connection is at risk: weft might close the connection
// before Envoy has read it.
func TestConnectionAge(t *testing.T) {
	s := startSystem(t)
	startWeft(t, s, "--max-connection-age", "20ms")
	startEnvoy(t, s)
	stopLoad := startLoad(t, s, 32)
	harness.Eventually(t, "200 connections have been opened", func() bool {
		return t.Failed() || stat(t, s, "cluster.weft.upstream_cx_total") > 200
	})
	stopLoad()
}

// TestHealthWhileDraining: while an exchange is open after SIGTERM, weft is live and not ready.
func TestHealthWhileDraining(t *testing.T) {
	s, admin := newSystem(t), freeAddr(t)
	weft := startWeft(t, s, "--admin", admin)
	conn := dial(t, s.Socket)
	exchange, err := startExchange(t, conn, "/api/v1/users/7")
	if err != nil {
		t.Fatal(err)
	}
	if got := page(t, admin+"/readyz"); got != "200 ok\n" {
		t.Errorf("/readyz: %q", got)
	}
	checkHealth(t, conn)
	watch := watchHealth(t, conn, extprocv3.ExternalProcessor_ServiceDesc.ServiceName)
	signal(t, weft, syscall.SIGTERM)
	harness.ExpectLog(t, weft, "msg=draining")
	expectHealth(t, watch, notServing)
	if got := page(t, admin+"/readyz"); got != "503 stopping\n" {
		t.Errorf("/readyz: %q", got)
	}
	if got := page(t, admin+"/livez"); got != "200 ok\n" {
		t.Errorf("/livez: %q", got)
	}
	if err := exchange.CloseSend(); err != nil {
		t.Fatal(err)
	}
	expectStopped(t, weft)
}

// TestSecondSignal: a second SIGTERM stops weft immediately, although an exchange is open.
func TestSecondSignal(t *testing.T) {
	s := newSystem(t)
	weft := startWeft(t, s)
	if _, err := startExchange(t, dial(t, s.Socket), "/api/v1/users/7"); err != nil {
		t.Fatal(err)
	}
	signal(t, weft, syscall.SIGTERM)
	harness.ExpectLog(t, weft, "msg=draining")
	signal(t, weft, syscall.SIGTERM)
	<-weft.Done()
	var exit *exec.ExitError
	if !errors.As(weft.Err(), &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("weft ended with %v, want the signal", weft.Err())
	}
}

// TestHangUp: weft ignores SIGHUP, and logs that files are reloaded when they change.
func TestHangUp(t *testing.T) {
	s := newSystem(t)
	weft := startWeft(t, s)
	signal(t, weft, syscall.SIGHUP)
	harness.ExpectLog(t, weft, "ignoring SIGHUP")
	checkHealth(t, dial(t, s.Socket))
	stopWeft(t, weft)
}

// TestHealthWatchDoesNotDelayStop: a client that watches weft's health gets NOT_SERVING and does not delay the stop.
func TestHealthWatchDoesNotDelayStop(t *testing.T) {
	s := newSystem(t)
	weft := startWeft(t, s, "--drain-deadline", "1h")
	watch := watchHealth(t, dial(t, s.Socket), "")
	stopWeft(t, weft)
	expectHealth(t, watch, notServing)
	if response, err := watch.Recv(); status.Code(err) != codes.Canceled {
		t.Errorf("after the drain window: %v, %v", response, err)
	}
}

// TestDrainDeadline: weft waits for an exchange until the drain deadline, then exits with status 0.
func TestDrainDeadline(t *testing.T) {
	s := newSystem(t)
	weft := startWeft(t, s, "--drain-deadline", "50ms")
	exchange, err := startExchange(t, dial(t, s.Socket), "/api/v1/users/7")
	if err != nil {
		t.Fatal(err)
	}
	signal(t, weft, syscall.SIGTERM)
	if _, err := exchange.Recv(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("the exchange ended before the deadline: %v", err)
	}
	harness.ExpectLog(t, weft, "drain deadline exceeded")
	expectStopped(t, weft)
}
