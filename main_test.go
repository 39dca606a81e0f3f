package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// TestMain lets the test binary be weft itself, so that the tests run the real command in a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("WEFT_TEST_IS_WEFT") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func weft(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "WEFT_TEST_IS_WEFT=1")
	return cmd
}

// server is a running "weft serve".
type server struct {
	cmd *exec.Cmd
	log chan string // its lines; closed when it has ended
}

// startServer returns when weft serves. MongoDB's address is one where nothing listens: weft does not need it.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	cmd := weft(context.Background(), append([]string{"serve", "--mongodb-uri", "mongodb://127.0.0.1:1"}, args...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd, log: make(chan string, 100)}
	go func() {
		defer close(s.log)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.log <- lines.Text()
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.expect(t, "msg=serving")
	return s
}

// expect waits for a line of the log.
func (s *server) expect(t *testing.T, part string) {
	t.Helper()
	var seen []string
	for line := range s.log {
		if strings.Contains(line, part) {
			return
		}
		seen = append(seen, line)
	}
	t.Fatalf("weft has ended and did not log %q:\n%s", part, strings.Join(seen, "\n"))
}

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

	second, err := weft(t.Context(), "serve", "--listen", socket).CombinedOutput()
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

	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "msg=stopped")
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("weft did not end with 0: %v", err)
	}
	if _, err := os.Stat(strings.TrimPrefix(socket, "unix:")); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestServeSecondSignal(t *testing.T) {
	socket := "unix:" + filepath.Join(t.TempDir(), "weft.sock")
	s := startServer(t, "--listen", socket)
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
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "stopping:")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	if status := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the second signal did not end weft: %v", s.cmd.ProcessState)
	}
}

// TestMistakes gives each command something wrong. What it prints is all that the user has to go by.
func TestMistakes(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		want string
	}{
		{
			"no MongoDB URI",
			[]string{"serve", "--mongodb-uri", "localhost:27017"},
			`--mongodb-uri: error parsing uri: scheme must be "mongodb" or "mongodb+srv"; want, for example, mongodb://localhost:27017`,
		},
		{"no such level", []string{"serve", "--log-level", "loud"}, `--log-level "loud": want debug, info, warn or error`},
		{
			"a busy port",
			[]string{"serve", "--listen", busy.Addr().String()},
			"listen on " + busy.Addr().String() + ": listen tcp " + busy.Addr().String() + ": bind: address already in use; give unix:PATH or a free host:port",
		},
		{
			"a file that is no socket",
			[]string{"serve", "--listen", "unix:" + file},
			"listen on unix:" + file + ": listen unix " + file + ": bind: address already in use; choose another path, such as unix:weft.sock",
		},
		{"an argument too many", []string{"serve", "now"}, `serve: unexpected argument "now"; see weft serve --help`},
		{"no such flag", []string{"envoy", "--legcy", "x:1"}, "flag provided but not defined: -legcy; see weft envoy --help"},
		{"no port", []string{"envoy", "--legacy", "users"}, `address "users": want host:port`},
		{
			"a timeout without a unit",
			[]string{"envoy", "--route-timeout", "3"},
			`invalid value "3" for flag -route-timeout: time: missing unit in duration "3"; see weft envoy --help`,
		},
		{"no such command", []string{"sreve"}, `no such command: "sreve"; see weft --help`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var stderr bytes.Buffer
			cmd := weft(t.Context(), test.args...)
			cmd.Stderr = &stderr
			err := cmd.Run()
			if cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("%v, want exit status 1", err)
			}
			if want := "weft: " + test.want + "\n"; stderr.String() != want {
				t.Errorf("stderr\n got %q\nwant %q", stderr.String(), want)
			}
		})
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "mine" {
		t.Errorf("a file of the user is not weft's to remove: %q, %v", got, err)
	}
}

// TestEnvoyCommand compares with the golden file of package envoy.
func TestEnvoyCommand(t *testing.T) {
	got, err := weft(t.Context(), "envoy").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("envoy/testdata/bootstrap.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("weft envoy prints something else than envoy/testdata/bootstrap.yaml:\n%s", got)
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
