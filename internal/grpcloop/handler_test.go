package grpcloop_test

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"weft/internal/grpcloop"
)

// TestDetach: beside the loop a handler works while others go on, and in the loop again after that.
func TestDetach(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{})
	goOn := make(chan bool)
	w.handle("/t/work", func(s *grpcloop.Stream) error {
		s.Detach()
		s.Detach() // it is already
		if err := s.Send([]byte("working"), nil); err != nil {
			return err
		}
		<-goOn
		message, err := s.Receive() // that is there already
		if err != nil {
			return err
		}
		if err := s.Send(message, nil); err != nil {
			return err
		}
		if message, err = s.Receive(); err != nil { // that is not there yet
			return err
		}
		if err := s.Send(message, nil); err != nil {
			return err
		}
		s.Detach()
		<-goOn
		if _, err = s.Receive(); !errors.Is(err, io.EOF) {
			return fmt.Errorf("got %w", err)
		}
		return nil
	})
	c := w.greeted(t)
	c.open(1, "/t/work")
	c.say(1, "a")
	c.wantSometime(`DATA 1 "\x00\x00\x00\x00\aworking"`) // although nobody knows when it goes on
	c.headers(3, true, request("/t/echo")...)            // meanwhile
	c.want("HEADERS 3 :status=200 grpc-status=0 end")
	goOn <- true
	c.wantNext(`DATA 1 "\x00\x00\x00\x00\x01a"`)
	c.say(1, "b")
	c.wantNext(`DATA 1 "\x00\x00\x00\x00\x01b"`)
	c.data(1, true, nil)
	c.want()
	goOn <- true
	c.wantNext(finished)
}

// TestCancelled: whatever a handler is at, it gets to know that its stream has ended, and what it still says goes nowhere.
func TestCancelled(t *testing.T) {
	for _, test := range []struct {
		name string
		wait func(*grpcloop.Stream)
	}{
		{"receives", func(s *grpcloop.Stream) { _, _ = s.Receive() }},
		{"awaits", func(s *grpcloop.Stream) { s.Await(time.Hour, func(func()) {}) }},
		{"works", func(s *grpcloop.Stream) { s.Detach(); <-s.Context().Done() }},
		{"has more to say than it may", func(s *grpcloop.Stream) { _ = s.Send(make([]byte, 1<<20), nil); _, _ = s.Receive() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
				w.handle("/t/wait for it", func(s *grpcloop.Stream) error {
					test.wait(s)
					if s.Context().Err() == nil {
						return errors.New("the context goes on")
					}
					s.Detach()
					for s.Send([]byte("x"), nil) == nil { // until the loop knows it, too
					}
					if s.Await(0, func(func()) {}) {
						return errors.New("it was woken")
					}
					_, err := s.Receive()
					return errors.Join(err, s.Send([]byte("x"), nil))
				})
				c := w.piped(t)
				c.open(1, "/t/wait for it")
				c.answers()
				c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel))
				c.answers()
				synctest.Wait()
				c.want()
				ends := w.ended("/t/wait for it")
				if len(ends) != 1 {
					t.Fatal("it goes on")
				}
				joined, ok := ends[0].(interface{ Unwrap() []error })
				if !ok || len(joined.Unwrap()) != 2 {
					t.Fatal(ends[0])
				}
				for _, err := range joined.Unwrap() {
					if status.Code(err) != codes.Canceled || !grpcloop.IsCanceled(err) {
						t.Error(err)
					}
				}
			})
		})
	}
}

// TestReturnsWithMoreToSay: what a handler has said is sent before how it has ended, whenever it may be.
func TestReturnsWithMoreToSay(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{})
	w.handle("/t/talk", func(s *grpcloop.Stream) error {
		for _, word := range []string{"one", "two"} {
			if err := s.Send([]byte(word), []byte("!")); err != nil {
				return err
			}
		}
		return status.Error(codes.DataLoss, "three")
	})
	c := w.greeted(t, window(0))
	c.open(1, "/t/talk")
	c.say(1, "who?")
	c.data(1, true, nil)
	c.want("HEADERS 1 " + head)
	if len(w.ended("/t/talk")) != 1 {
		t.Error("the handler has not returned")
	}
	c.ok(c.WriteWindowUpdate(1, 10))
	c.want(`DATA 1 "\x00\x00\x00\x00\x04one!\x00"`)
	c.ok(c.WriteWindowUpdate(1, 8))
	c.want(`DATA 1 "\x00\x00\x00\x04two!"`, "HEADERS 1 grpc-status=15 grpc-message=three end")
}

// TestWorkers: a handler sees nothing of the one whose coroutine it has got.
func TestWorkers(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{MaxStreams: 1000})
	var mu sync.Mutex
	seen := map[*grpcloop.Stream]bool{}
	w.handle("/t/fresh", func(s *grpcloop.Stream) error {
		mu.Lock()
		seen[s] = true
		mu.Unlock()
		_, who := s.Metadata("who")
		if s.Context().Err() != nil {
			return errors.New("the context has ended before")
		}
		if s.Await(time.Nanosecond, func(func()) {}) {
			return errors.New("it was woken by another")
		}
		message, err := s.Receive()
		if err != nil || string(message) != who {
			return fmt.Errorf("%q hears %q, %w", who, message, err)
		}
		return nil
	})
	c := w.greeted(t)
	id := uint32(1)
	for range 5 {
		for range 300 { // more than are kept
			who := fmt.Sprint(id)
			c.headers(id, false, append(request("/t/fresh"), "who", who)...)
			switch id / 2 % 3 {
			case 0:
				c.data(id, true, framed(who))
			case 1:
				c.say(id, who)
				c.say(id, "more than it hears")
			case 2:
				c.ok(c.WriteRSTStream(id, http2.ErrCodeCancel))
			}
			id += 2
		}
		c.answers()
	}
	_ = c.nc.Close()
	w.GracefulStop()
	if len(seen) != 1500 {
		t.Errorf("%d streams", len(seen))
	}
	for _, err := range w.ended("/t/fresh") {
		if err != nil && status.Code(errors.Unwrap(err)) != codes.Canceled {
			t.Error(err)
		}
	}
}
