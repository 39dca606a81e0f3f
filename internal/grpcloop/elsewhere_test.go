package grpcloop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/internal/grpcloop"
)

// TestSoak has clients call, give up and begin again, on connections of which none grows old, and no call fails: what a GOAWAY
// refuses was not begun, and a client tries it again by itself.
func TestSoak(t *testing.T) {
	const callers, calls = 20, 70
	w := newWorld(t, &grpcloop.Server{MaxAge: 20 * time.Millisecond, MaxStreams: 15})
	between := func(s *grpcloop.Stream, wait func() error) error {
		for {
			message, err := s.Receive()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := wait(); err != nil {
				return err
			}
			if err := s.Send(nil, message); err != nil {
				return err
			}
			grpcloop.Release(message)
		}
	}
	w.handle("/t/detached", func(s *grpcloop.Stream) error {
		return between(s, func() error { s.Detach(); return nil })
	})
	w.handle("/t/woken", func(s *grpcloop.Stream) error {
		return between(s, func() error {
			if !s.Await(time.Minute, func(wake func()) { time.AfterFunc(time.Millisecond, wake) }) {
				return context.Canceled
			}
			return nil
		})
	})
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			cc := w.reach(t)
			for call := range calls {
				method := []string{"/t/echo", "/t/detached", "/t/woken"}[call%3]
				message := wrapperspb.Bytes(bytes.Repeat([]byte{byte(call)}, 1+(call*caller*97)%200_000))
				if call%7 == 6 { // one that is given up
					ctx, stop := context.WithCancel(t.Context())
					s, err := cc.NewStream(ctx, stream, method)
					if err == nil {
						err = s.SendMsg(message)
					}
					stop()
					if err != nil && !errors.Is(err, io.EOF) {
						t.Errorf("%s, given up: %v", method, err)
					}
					continue
				}
				var got wrapperspb.BytesValue
				if err := cc.Invoke(t.Context(), method, message, &got); err != nil || !bytes.Equal(got.Value, message.Value) {
					t.Errorf("%s: %d bytes of %d, %v", method, len(got.Value), len(message.Value), err)
				}
			}
			_ = cc.Close()
		})
	}
	all.Wait()
	for _, method := range []string{"/t/echo", "/t/detached", "/t/woken"} {
		for _, err := range w.ended(method) {
			if err != nil && status.Code(err) != codes.Canceled && !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", method, err)
			}
		}
	}
}

// TestElsewhere: when a server stops, a client has its streams end here, and new ones begin elsewhere.
func TestElsewhere(t *testing.T) {
	old, young := newWorld(t, &grpcloop.Server{}), newWorld(t, &grpcloop.Server{})
	cc := old.reach(t, grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
		near, far := socketPair(t)
		select {
		case old.listener.accepted <- far:
		case <-old.listener.closed:
			young.listener.accepted <- far
		}
		return near, nil
	}))
	here := begin(t.Context(), t, cc, "/t/echo")
	turn := func(s grpc.ClientStream) {
		t.Helper()
		if err := s.SendMsg(wrapperspb.String("x")); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(&wrapperspb.StringValue{}); err != nil {
			t.Fatal(err)
		}
	}
	turn(here)
	stopped := make(chan struct{})
	go func() { old.GracefulStop(); close(stopped) }()
	for young.mostOpen() == 0 { // those that come before the GOAWAY are answered, too
		if err := cc.Invoke(t.Context(), "/t/echo", wrapperspb.String("y"), &wrapperspb.StringValue{}); err != nil {
			t.Fatal(err)
		}
	}
	turn(here)
	if err := here.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := here.RecvMsg(nil); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	<-stopped
}
