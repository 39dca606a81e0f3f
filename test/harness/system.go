package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// System is weft with a mongod, a legacy service and an Envoy, on 127.0.0.1. A program or a test starts the parts that
// it needs; Close ends them. weft may also run in the test's process and listen on Socket.
type System struct {
	Weft       string // path of weft's binary
	Dir        string // for data, logs and sockets
	Socket     string // weft's address for weft and Envoy; their arguments may override it
	Mongod     *Mongod
	Legacy     *Legacy
	LegacyAddr string // host:port of the legacy service; set by the caller if it is not Legacy
	Envoy      *Envoy
	URL        string // of Envoy's listener, without a trailing slash

	files     int        // number of calls to File
	processes []*Process // in start order
}

// NewSystem returns a System without running processes.
func NewSystem(weft string) (*System, error) {
	dir, err := os.MkdirTemp("", "weft")
	return &System{Weft: weft, Dir: dir, Socket: "unix:" + filepath.Join(dir, "weft.sock")}, err
}

// Close kills all processes, in reverse order, and removes their files.
func (s *System) Close() error {
	var errs []error
	for _, p := range slices.Backward(s.processes) {
		errs = append(errs, p.Kill())
	}
	if s.Legacy != nil {
		errs = append(errs, s.Legacy.Stop())
	}
	return errors.Join(append(errs, os.RemoveAll(s.Dir))...)
}

// NewTestSystem returns a System that is closed when the test ends. If the test fails, it logs the ends of all logs.
func NewTestSystem(t testing.TB, weft string) *System {
	t.Helper()
	s, err := NewSystem(weft)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range s.processes {
				t.Logf("the end of the log of %s (pid %d):\n%s", p.name, p.Pid(), p.LastLines(20))
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// File returns the path of a new file in Dir.
func (s *System) File(name string) string {
	s.files++
	return filepath.Join(s.Dir, fmt.Sprintf("%d-%s", s.files, strings.ReplaceAll(name, " ", "-")))
}

// Start starts a process with its log in Dir. See [Start] for ctx.
func (s *System) Start(ctx context.Context, command Command) (*Process, error) {
	command.Log = s.File(command.Name + ".log")
	p, err := Start(ctx, command)
	if err == nil {
		s.processes = append(s.processes, p)
	}
	return p, err
}

// StartMongod starts a mongod with additional arguments.
func (s *System) StartMongod(ctx context.Context, args ...string) error {
	return s.startMongod(ctx, MongodOptions{Dir: s.File("mongod"), Args: args})
}

// RestartMongod starts the mongod again, after it has ended, with the same data and port.
func (s *System) RestartMongod(ctx context.Context) error {
	return s.startMongod(ctx, s.Mongod.options)
}

func (s *System) startMongod(ctx context.Context, o MongodOptions) error {
	m, err := StartMongod(ctx, o)
	if err == nil {
		s.Mongod = m
		s.processes = append(s.processes, m.Process)
	}
	return err
}

// StartLegacy starts a legacy service on a free port and sets Legacy and LegacyAddr.
func (s *System) StartLegacy() (err error) {
	if s.Legacy, err = StartLegacy("127.0.0.1:0"); err == nil {
		s.LegacyAddr = s.Legacy.Addr
	}
	return err
}

// StartBackends starts a legacy service and a mongod with the users of [Mongod.Seed].
func (s *System) StartBackends(ctx context.Context) error {
	if err := s.StartLegacy(); err != nil {
		return err
	}
	if err := s.StartMongod(ctx); err != nil {
		return err
	}
	return s.Mongod.Seed(ctx)
}

// StartWeft starts "weft serve" on Socket, without an admin listener and a drain window; args may override that.
// Without a Mongod, the connection string points to a port on which nothing listens.
func (s *System) StartWeft(ctx context.Context, args ...string) (*Process, error) {
	uri := "mongodb://127.0.0.1:1"
	if s.Mongod != nil {
		uri = s.Mongod.URI()
	}
	defaults := []string{"serve", "--listen", s.Socket, "--mongodb-uri", uri, "--admin", "", "--drain-window", "0"}
	return s.Start(ctx, Command{Name: "weft", Path: s.Weft, Args: append(defaults, args...), Ready: WeftReady})
}

// WeftReady is a Ready for "weft serve" with log level info or debug.
func WeftReady(_ context.Context, p *Process) error {
	return p.findLine("msg=serving", `"msg":"serving"`)
}

// StartEnvoy starts Envoy with the output of "weft envoy" for Socket and LegacyAddr. Timeouts are long enough for a
// busy machine; args may override them.
func (s *System) StartEnvoy(ctx context.Context, args ...string) error {
	defaults := []string{"--legacy", s.LegacyAddr, "--weft", s.Socket}
	defaults = append(defaults, "--message-timeout", "20s", "--route-timeout", "1m")
	bootstrap, err := Bootstrap(ctx, s.Weft, append(defaults, args...)...)
	if err != nil {
		return err
	}
	return s.StartEnvoyWith(ctx, bootstrap)
}

// StartEnvoyWith starts Envoy with a bootstrap and additional arguments, and sets Envoy and URL.
func (s *System) StartEnvoyWith(ctx context.Context, bootstrap []byte, args ...string) (err error) {
	o := EnvoyOptions{Dir: s.File("envoy"), Bootstrap: bootstrap, Args: args}
	if s.Envoy, err = StartEnvoy(ctx, o); err != nil {
		return err
	}
	s.processes = append(s.processes, s.Envoy.Process)
	address, err := s.Envoy.ListenerAddr(ctx, "main")
	s.URL = "http://" + address
	return err
}

// Bootstrap returns the output of "weft envoy". Ports are free ones; args may override them.
func Bootstrap(ctx context.Context, weft string, args ...string) ([]byte, error) {
	defaults := []string{"envoy", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	command := exec.CommandContext(ctx, weft, append(defaults, args...)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	bootstrap, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("weft envoy: %w\n%s", err, stderr.Bytes())
	}
	return bootstrap, nil
}
