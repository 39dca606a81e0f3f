package grpcloop_test

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/internal/grpcloop"
)

const (
	goingAway = "GOAWAY 2147483647 NO_ERROR"
	asksDrain = `PING "drain"`
)

// bubble runs a test on a clock of its own, against a world whose connections have no buffers.
func bubble(t *testing.T, server *grpcloop.Server, run func(*testing.T, *world)) {
	synctest.Test(t, func(t *testing.T) { run(t, newWorld(t, server)) })
}

// piped connects over a pipe, and greets.
func (w *world) piped(t testing.TB) *client {
	t.Helper()
	near, far := net.Pipe()
	c := w.dialOver(t, near, far)
	c.greet()
	return c
}

// begun runs a function that returns some time.
func begun(run func()) (returned chan struct{}) {
	returned = make(chan struct{})
	go func() { run(); close(returned) }()
	synctest.Wait()
	return returned
}

func isDone(c chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (c *client) ackDrain() { c.ok(c.WritePing(true, [8]byte{'d', 'r', 'a', 'i', 'n'})) }

func TestGracefulStop(t *testing.T) {
	bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
		c, idle := w.piped(t), w.piped(t)
		c.open(1, "/t/echo")
		stopped := begun(w.GracefulStop)
		c.wantNext(goingAway, asksDrain)
		c.open(3, "/t/echo") // it was on its way
		c.ackDrain()
		c.want("GOAWAY 3 NO_ERROR")
		c.open(5, "/t/echo")
		c.want("RST_STREAM 5 REFUSED_STREAM")
		c.data(1, true, framed("a"))
		c.want("HEADERS 1 "+head, `DATA 1 "\x00\x00\x00\x00\x01a"`, finished)

		idle.wantNext(goingAway, asksDrain)
		idle.ackDrain()
		idle.wantNext("GOAWAY 0 NO_ERROR")
		_ = idle.nc.Close()
		if isDone(stopped) {
			t.Error("the server has stopped with a stream open")
		}
		c.data(3, true, nil)
		c.wantNext("HEADERS 3 :status=200 grpc-status=0 end", "end") // although this end does not close it
		<-stopped
		if err := <-w.served; err != nil {
			t.Error(err)
		}
	})
}

func TestGracefulStopOfOneWhoDoesNotAnswer(t *testing.T) {
	bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
		c := w.piped(t)
		c.open(1, "/t/echo")
		stopped := begun(w.GracefulStop)
		time.Sleep(6 * time.Second)
		c.wantNext(goingAway, asksDrain, "GOAWAY 1 NO_ERROR")
		c.data(1, true, nil)
		c.wantNext("HEADERS 1 :status=200 grpc-status=0 end", "end")
		<-stopped
	})
}

// TestGracefulStopOfOneWhoDoesNotRead: others are told all the same.
func TestGracefulStopOfOneWhoDoesNotRead(t *testing.T) {
	bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
		var clients []*client
		for range 5 {
			clients = append(clients, w.piped(t))
		}
		unread, far := net.Pipe()
		w.listener.accepted <- far
		silent := newClient(t, unread)
		silent.raw([]byte(http2.ClientPreface))
		for range 2 {
			if _, err := silent.ReadFrame(); err != nil {
				t.Fatal(err)
			}
		}
		stopped := begun(w.GracefulStop)
		for _, c := range clients {
			c.wantNext(goingAway, asksDrain)
			c.ackDrain()
			c.wantNext("GOAWAY 0 NO_ERROR", "end")
		}
		if isDone(stopped) {
			t.Error("the server has stopped with a connection open")
		}
		w.Stop() // the deadline
		<-stopped
		_ = unread.Close()
	})
}

// TestGracefulStopBeforeTheGreeting: there is nothing to lose.
func TestGracefulStopBeforeTheGreeting(t *testing.T) {
	bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
		near, far := net.Pipe()
		c := w.dialOver(t, near, far)
		w.GracefulStop()
		c.wantNext("end")
	})
}

// TestGracefulStopBesideTheLoop: the last stream ends while the loop waits for more.
func TestGracefulStopBesideTheLoop(t *testing.T) {
	bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
		goOn := make(chan bool)
		w.handle("/t/work", func(s *grpcloop.Stream) error {
			s.Detach()
			<-goOn
			return nil
		})
		c := w.piped(t)
		c.open(1, "/t/work")
		stopped := begun(w.GracefulStop)
		c.wantNext(goingAway, asksDrain)
		c.ackDrain()
		c.want("GOAWAY 1 NO_ERROR")
		close(goOn)
		c.wantNext("HEADERS 1 :status=200 grpc-status=0 end", "end")
		<-stopped
	})
}

func TestStop(t *testing.T) {
	bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
		c := w.piped(t)
		w.handle("/t/work", func(s *grpcloop.Stream) error {
			s.Detach()
			<-s.Context().Done()
			return s.Send(nil, nil)
		})
		paths := []string{"/t/echo", "/t/wait", "/t/work"}
		for i, path := range paths {
			c.open(uint32(2*i+1), path)
		}
		synctest.Wait()
		w.Stop()
		c.wantNext("end")
		if err := <-w.served; err != nil {
			t.Error(err)
		}
		for _, path := range paths {
			if ends := w.ended(path); len(ends) != 1 || status.Code(status.FromContextError(ends[0]).Err()) != codes.Canceled && status.Code(ends[0]) != codes.Canceled {
				t.Errorf("%s has ended with %v", path, ends)
			}
		}
		w.Stop() // and that again
		if err := w.Serve(newConns()); err != nil {
			t.Errorf("to serve after that is no error, but %v", err)
		}
	})
}

func TestListenerFails(t *testing.T) {
	bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
		w.listener.errs <- temporary{}
		c := w.piped(t) // it goes on
		gone := errors.New("the network is gone")
		w.listener.errs <- gone
		if err := <-w.served; !errors.Is(err, gone) {
			t.Error(err)
		}
		c.headers(1, true, request("/t/echo")...) // what is there goes on
		c.want("HEADERS 1 :status=200 grpc-status=0 end")
	})
}

type temporary struct{}

func (temporary) Error() string   { return "too many open files" }
func (temporary) Temporary() bool { return true }
