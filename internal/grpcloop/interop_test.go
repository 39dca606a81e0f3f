package grpcloop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/internal/grpcloop"
)

// reach returns grpc-go's client of a world.
func (w *world) reach(t testing.TB, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///weft", append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			near, far := socketPair(t)
			select {
			case w.listener.accepted <- far:
				return near, nil
			case <-w.listener.closed:
				return nil, net.ErrClosed
			}
		}),
	}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cc.Close() })
	return cc
}

var stream = &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

func begin(ctx context.Context, t testing.TB, cc *grpc.ClientConn, method string) grpc.ClientStream {
	t.Helper()
	s, err := cc.NewStream(ctx, stream, method)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestHealth(t *testing.T) {
	config := certificate(t, "weft")
	for name, server := range map[string]*grpcloop.Server{
		"plain": {}, "TLS": {Credentials: credentials.NewTLS(config)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, server)
			service := health.NewServer()
			healthpb.RegisterHealthServer(w, service)
			var options []grpc.DialOption
			if server.Credentials != nil {
				options = append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))
			}
			client := healthpb.NewHealthClient(w.reach(t, options...))
			ctx := t.Context()

			reply, err := client.Check(ctx, &healthpb.HealthCheckRequest{})
			if err != nil || reply.GetStatus() != healthpb.HealthCheckResponse_SERVING {
				t.Error(reply, err)
			}
			if _, err := client.Check(ctx, &healthpb.HealthCheckRequest{Service: "none"}); status.Code(err) != codes.NotFound {
				t.Error(err)
			}
			ctx, stop := context.WithCancel(ctx)
			defer stop()
			watch, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []healthpb.HealthCheckResponse_ServingStatus{
				healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING, healthpb.HealthCheckResponse_SERVING,
			} {
				service.SetServingStatus("", want) // it is told of changes only
				reply, err := watch.Recv()
				if err != nil || reply.GetStatus() != want {
					t.Fatal(reply, err)
				}
			}
			stop()
			if _, err := watch.Recv(); status.Code(err) != codes.Canceled {
				t.Error(err)
			}
			w.GracefulStop()
		})
	}
}

// TestSizes has messages of all sizes go to and fro, some of them at once.
func TestSizes(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{MaxMessage: 9 << 20})
	cc := w.reach(t)
	for _, size := range []int{0, 1, 5, 1000, 16379, 16380, 65530, 65536, 262144, 1 << 20, 8 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			message := wrapperspb.Bytes(make([]byte, size))
			for i := range message.Value {
				message.Value[i] = byte(rand.Uint32())
			}
			s := begin(t.Context(), t, cc, "/t/echo")
			const times = 3
			go func() {
				for range times {
					if err := s.SendMsg(message); err != nil {
						t.Error(err)
					}
				}
				if err := s.CloseSend(); err != nil {
					t.Error(err)
				}
			}()
			for range times {
				var got wrapperspb.BytesValue
				if err := s.RecvMsg(&got); err != nil || !bytes.Equal(got.Value, message.Value) {
					t.Fatalf("got %d bytes, %v", len(got.Value), err)
				}
			}
			if err := s.RecvMsg(nil); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
	t.Run("too large", func(t *testing.T) {
		var got wrapperspb.BytesValue
		err := cc.Invoke(t.Context(), "/t/echo", wrapperspb.Bytes(make([]byte, 9<<20)), &got)
		if status.Code(err) != codes.ResourceExhausted {
			t.Error(err)
		}
	})
}

// TestManyStreams has a thousand streams at once, of clients that read at their leisure.
func TestManyStreams(t *testing.T) {
	const streams, messages = 1000, 5
	w := newWorld(t, &grpcloop.Server{MaxStreams: streams})
	var mu sync.Mutex
	var wakes []func()
	w.handle("/t/gather", func(s *grpcloop.Stream) error {
		s.Await(0, func(wake func()) {
			mu.Lock()
			defer mu.Unlock()
			if wakes = append(wakes, wake); len(wakes) == streams { // all are here
				for _, wake := range wakes {
					wake()
				}
			}
		})
		return echo(s)
	})
	cc := w.reach(t, grpc.WithInitialWindowSize(65535), grpc.WithInitialConnWindowSize(65535))
	all := make([]grpc.ClientStream, streams)
	for i := range all {
		all[i] = begin(t.Context(), t, cc, "/t/gather")
	}
	var senders, receivers sync.WaitGroup
	for i, s := range all {
		senders.Go(func() {
			for n := range messages {
				if err := s.SendMsg(wrapperspb.Bytes(bytes.Repeat([]byte{byte(i)}, 100*n+i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait() // nobody has read a thing
	for i, s := range all {
		receivers.Go(func() {
			for n := range messages {
				var got wrapperspb.BytesValue
				if err := s.RecvMsg(&got); err != nil || !bytes.Equal(got.Value, bytes.Repeat([]byte{byte(i)}, 100*n+i)) {
					t.Errorf("stream %d: %d bytes, %v", i, len(got.Value), err)
				}
			}
			if err := s.CloseSend(); err != nil {
				t.Error(err)
			}
			if err := s.RecvMsg(nil); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
	receivers.Wait()
}

// TestErrors has clients understand what handlers, and the server, say.
func TestErrors(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{})
	for method, err := range map[string]error{
		"/t/ünknown": nil, // not registered
		"/t/status":  status.Error(codes.FailedPrecondition, "1 % of ünïcödé\n\t\x7f 世界"),
		"/t/error":   errors.New("plain"),
		"/t/time":    fmt.Errorf("late: %w", context.DeadlineExceeded),
		"/t/gone":    context.Canceled,
	} {
		if method != "/t/ünknown" {
			w.handle(method, func(*grpcloop.Stream) error { return err })
		}
	}
	cc := w.reach(t)
	for _, test := range []struct {
		method, message string
		code            codes.Code
	}{
		{"/t/status", "1 % of ünïcödé\n\t\x7f 世界", codes.FailedPrecondition},
		{"/t/error", "plain", codes.Unknown},
		{"/t/time", "late: context deadline exceeded", codes.DeadlineExceeded},
		{"/t/gone", "context canceled", codes.Canceled},
		{"/t/none", "unknown method /t/none", codes.Unimplemented},
	} {
		err := cc.Invoke(t.Context(), test.method, wrapperspb.Bool(true), &wrapperspb.BoolValue{})
		if got := status.Convert(err); got.Code() != test.code || got.Message() != test.message {
			t.Errorf("%s: %v", test.method, err)
		}
	}
}

// TestClientsEnd: a client that has no more patience, or no more interest, ends the handler.
func TestClientsEnd(t *testing.T) {
	for _, test := range []struct {
		name string
		code codes.Code
		end  func(context.Context) (context.Context, context.CancelFunc)
	}{
		{"deadline", codes.DeadlineExceeded, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 100*time.Millisecond)
		}},
		{"cancelled", codes.Canceled, context.WithCancel},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, &grpcloop.Server{})
			stops := make(chan context.CancelFunc, 1)
			w.handle("/t/long", func(s *grpcloop.Stream) error {
				s.Detach()
				if stop := <-stops; test.code == codes.Canceled {
					stop()
				}
				<-s.Context().Done()
				_, err := s.Receive()
				return err
			})
			cc := w.reach(t)
			for len(w.ended("/t/long")) == 0 { // a deadline may be over before the stream has begun
				ctx, stop := test.end(t.Context())
				stops <- stop
				if err := cc.Invoke(ctx, "/t/long", wrapperspb.Bool(true), &wrapperspb.BoolValue{}); status.Code(err) != test.code {
					t.Fatal(err)
				}
				stop()
				select {
				case <-stops:
				default:
				}
			}
			if ends := w.ended("/t/long"); status.Code(ends[0]) != codes.Canceled {
				t.Error(ends)
			}
		})
	}
}
