package grpcloop_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"weft/internal/grpcloop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a server whose handlers are counted.
type world struct {
	*grpcloop.Server
	listener *conns
	served   chan error

	mu   sync.Mutex
	ends map[string][]error // of handlers, by their method; with what they returned
	open int
	most int // open at once
}

// newWorld serves with handlers of some use to tests:
//
//	/t/echo   says what it hears
//	/t/wait   awaits nothing, so it ends with its stream
//	/t/deaf   sends "x" for the first message, and then awaits nothing
func newWorld(t testing.TB, server *grpcloop.Server) *world {
	w := &world{Server: server, listener: newConns(), served: make(chan error, 1), ends: map[string][]error{}}
	w.handle("/t/echo", echo)
	w.handle("/t/wait", func(s *grpcloop.Stream) error {
		s.Await(0, func(func()) {})
		return s.Context().Err()
	})
	w.handle("/t/deaf", func(s *grpcloop.Stream) error {
		if _, err := s.Receive(); err != nil {
			return err
		}
		if err := s.Send([]byte("x"), nil); err != nil {
			return err
		}
		s.Await(0, func(func()) {})
		return s.Context().Err()
	})
	go func() { w.served <- w.Serve(w.listener) }()
	t.Cleanup(func() {
		w.Stop()
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.open != 0 {
			t.Errorf("%d handlers have not returned", w.open)
		}
	})
	return w
}

func echo(s *grpcloop.Stream) error {
	for {
		message, err := s.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(message, nil); err != nil {
			return err
		}
	}
}

// handle registers a handler, which is counted.
func (w *world) handle(method string, h grpcloop.Handler) {
	w.Handle(method, func(s *grpcloop.Stream) error {
		w.mu.Lock()
		w.open++
		w.most = max(w.most, w.open)
		w.mu.Unlock()
		err := h(s)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.open--
		w.ends[method] = append(w.ends[method], err)
		return err
	})
}

// ended returns with what the handlers of a method have returned.
func (w *world) ended(method string) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends[method]
}

func (w *world) mostOpen() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// conns is a listener that is handed its connections.
type conns struct {
	accepted chan net.Conn
	errs     chan error
	closed   chan struct{}
	once     sync.Once
}

func newConns() *conns {
	return &conns{accepted: make(chan net.Conn), errs: make(chan error), closed: make(chan struct{})}
}

func (l *conns) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case err := <-l.errs:
		return nil, err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *conns) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *conns) Addr() net.Addr { return &net.UnixAddr{Name: "conns", Net: "unix"} }

// socketPair returns the ends of a connection that has buffers, as those of the kernel have.
func socketPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socketpair")
		if ends[i], err = net.FileConn(f); err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	return ends[0], ends[1]
}
