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

// System is weft with all that it needs, on 127.0.0.1: a mongod, a legacy service and an Envoy. A program or a test
// starts the parts that it wants; Close ends them. A weft may also run in the process of the test: it has to listen on
// Socket.
type System struct {
	Weft       string // path of weft's binary
	Dir        string // for data, logs and sockets
	Socket     string // address at which Envoy finds weft, unless the arguments of both say otherwise
	Mongod     *Mongod
	Legacy     *Legacy
	LegacyAddr string // host:port of the legacy service; the caller sets it if that is not Legacy
	Envoy      *Envoy
	URL        string // of Envoy's listener, without a slash at the end

	files     int        // number of names that File has returned
	processes []*Process // in the order in which they were started
}

// NewSystem returns a System in which nothing runs.
func NewSystem(weft string) (*System, error) {
	dir, err := os.MkdirTemp("", "weft")
	return &System{Weft: weft, Dir: dir, Socket: "unix:" + filepath.Join(dir, "weft.sock")}, err
}

// Close ends all that was started, the last one first, and removes its files.
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

// NewTestSystem returns a System that ends with the test. If the test fails, it shows the ends of the logs.
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

// Start starts a process, whose log is in Dir. See [Start] for the context.
func (s *System) Start(ctx context.Context, command Command) (*Process, error) {
	command.Log = s.File(command.Name + ".log")
	p, err := Start(ctx, command)
	if err == nil {
		s.processes = append(s.processes, p)
	}
	return p, err
}

// StartMongod starts a mongod with more arguments.
func (s *System) StartMongod(ctx context.Context, args ...string) error {
	return s.startMongod(ctx, MongodOptions{Dir: s.File("mongod"), Args: args})
}

// RestartMongod starts the mongod again after its end, with its data and on its port.
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

// StartBackends starts a mongod and a legacy service, both with all users.
func (s *System) StartBackends(ctx context.Context) error {
	if err := s.StartLegacy(); err != nil {
		return err
	}
	if err := s.StartMongod(ctx); err != nil {
		return err
	}
	return s.Mongod.Seed(ctx)
}

// StartWeft starts "weft serve" on Socket, without an admin listener and a drain window, unless the arguments say
// otherwise. If there is no mongod, MongoDB's address is one where nothing listens.
func (s *System) StartWeft(ctx context.Context, args ...string) (*Process, error) {
	uri := "mongodb://127.0.0.1:1"
	if s.Mongod != nil {
		uri = s.Mongod.URI()
	}
	defaults := []string{"serve", "--listen", s.Socket, "--mongodb-uri", uri, "--admin", "", "--drain-window", "0"}
	return s.Start(ctx, Command{Name: "weft", Path: s.Weft, Args: append(defaults, args...), Ready: WeftReady})
}

// WeftReady is a Ready for "weft serve" whose log has the level info or debug.
func WeftReady(_ context.Context, p *Process) error {
	return p.findLine("msg=serving", `"msg":"serving"`)
}

// StartEnvoy starts an Envoy with what "weft envoy" prints for Socket and LegacyAddr. Its timeouts are so long that a
// busy machine does not matter, unless the arguments say otherwise.
func (s *System) StartEnvoy(ctx context.Context, args ...string) error {
	defaults := []string{"--legacy", s.LegacyAddr, "--weft", s.Socket}
	defaults = append(defaults, "--message-timeout", "20s", "--route-timeout", "1m")
	bootstrap, err := Bootstrap(ctx, s.Weft, append(defaults, args...)...)
	if err != nil {
		return err
	}
	return s.StartEnvoyWith(ctx, bootstrap)
}

// StartEnvoyWith starts an Envoy with a bootstrap and sets Envoy and URL. The arguments are more of Envoy's.
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

// Bootstrap returns what "weft envoy" prints, with free ports unless the arguments say otherwise.
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
