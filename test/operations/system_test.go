package operations_test

import (
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"weft/test/harness"
)

// newSystem returns a System without running processes. Its weft is this test binary.
func newSystem(t *testing.T) *harness.System {
	t.Helper()
	return harness.NewTestSystem(t, os.Args[0])
}

// startSystem returns a System with a mongod and a legacy service.
func startSystem(t *testing.T) *harness.System {
	t.Helper()
	s := newSystem(t)
	if err := s.StartBackends(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func startWeft(t *testing.T, s *harness.System, args ...string) *harness.Process {
	t.Helper()
	weft, err := s.StartWeft(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	return weft
}

// startCommand starts weft with a command that System.StartWeft does not support.
func startCommand(t *testing.T, s *harness.System, command harness.Command) *harness.Process {
	t.Helper()
	command.Name = "weft"
	if command.Path == "" {
		command.Path = s.Weft
	}
	if command.Ready == nil {
		command.Ready = harness.WeftReady
	}
	weft, err := s.Start(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	return weft
}

// stopWeft sends SIGTERM to weft and waits for its end.
func stopWeft(t *testing.T, weft *harness.Process) {
	t.Helper()
	signal(t, weft, syscall.SIGTERM)
	expectStopped(t, weft)
}

// expectStopped waits for the end of weft and checks that its exit status is 0.
func expectStopped(t *testing.T, weft *harness.Process) {
	t.Helper()
	harness.ExpectLog(t, weft, "msg=stopped")
	<-weft.Done()
	if err := weft.Err(); err != nil {
		t.Errorf("weft ended with %v, want exit status 0", err)
	}
}

// signal sends a signal to a process.
func signal(t *testing.T, p *harness.Process, s os.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// startEnvoy starts Envoy with the output of "weft envoy".
func startEnvoy(t *testing.T, s *harness.System, args ...string) {
	t.Helper()
	if err := s.StartEnvoy(t.Context(), args...); err != nil {
		t.Fatal(err)
	}
}

// stat returns the value of one of Envoy's statistics.
func stat(t *testing.T, s *harness.System, name string) int {
	t.Helper()
	n, err := s.Envoy.Stat(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// page returns the status and the body of an admin page.
func page(t *testing.T, url string) string {
	t.Helper()
	answer, err := harness.Get(t.Context(), "http://"+url)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d %s", answer.Status, answer.Body)
}

// freeAddr returns a free host:port.
func freeAddr(t *testing.T) string {
	t.Helper()
	address, err := harness.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// getUser requests a user from Envoy.
func getUser(client *http.Client, s *harness.System, id int) (harness.Answer, error) {
	request, err := http.NewRequest(http.MethodGet, fmt.Sprint(s.URL, harness.Routes()[0], id), http.NoBody)
	if err != nil {
		return harness.Answer{}, err
	}
	return harness.Do(client, request)
}

// get requests user 7 over a new connection.
func get(t *testing.T, s *harness.System) harness.Answer {
	t.Helper()
	client := harness.NewClient(false)
	defer client.CloseIdleConnections()
	answer, err := getUser(client, s, 7)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// startLoad starts clients. A response that is not composed fails the test. The returned function stops the clients.
func startLoad(t *testing.T, s *harness.System, clients int) (stop func()) {
	var requests atomic.Int64
	load := harness.StartLoad(clients, func(client *http.Client, _ int) bool {
		id := int(requests.Add(1)) % harness.Users
		answer, err := getUser(client, s, id)
		if kind := harness.NewUser(id).Kind(answer); err != nil || kind != harness.Composed {
			t.Errorf("user %d: %v, %s", id, err, answer)
		}
		return !t.Failed()
	})
	t.Cleanup(load.Stop)
	return func() {
		load.Stop()
		t.Logf("%d requests", requests.Load())
	}
}
