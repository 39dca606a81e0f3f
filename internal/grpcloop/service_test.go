package grpcloop_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/internal/grpcloop"
)

// service is what protoc makes of a service, with one method of each kind.
func service(unary func(context.Context, string) (string, error), stream func(grpc.ServerStream) error) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: "s",
		Methods: []grpc.MethodDesc{{
			MethodName: "unary",
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				var request wrapperspb.StringValue
				if err := decode(&request); err != nil {
					return nil, err
				}
				reply, err := unary(ctx, request.Value)
				return wrapperspb.String(reply), err
			},
		}},
		Streams: []grpc.StreamDesc{{
			StreamName: "stream", ClientStreams: true, ServerStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error { return stream(s) },
		}},
	}
}

// TestServiceBlocks: what protoc has made may block wherever it likes, and the connection goes on.
func TestServiceBlocks(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{})
	goOn := make(chan bool)
	w.RegisterService(service(
		func(_ context.Context, name string) (string, error) { <-goOn; return "hello " + name, nil },
		func(s grpc.ServerStream) error {
			<-goOn
			if err := s.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
				return err
			}
			<-goOn
			return nil
		},
	), nil)
	c := w.greeted(t)
	c.headers(1, true, request("/s/stream")...)
	c.headers(3, true, request("/t/echo")...)
	c.want("HEADERS 3 :status=200 grpc-status=0 end")
	goOn <- true
	c.headers(5, true, request("/t/echo")...)
	c.want("HEADERS 5 :status=200 grpc-status=0 end")
	goOn <- true
	c.wantNext("HEADERS 1 :status=200 grpc-status=0 end")
	c.open(7, "/s/unary")
	c.data(7, true, framed("\x0a\x01x"))
	c.headers(9, true, request("/t/echo")...)
	c.want("HEADERS 9 :status=200 grpc-status=0 end")
	goOn <- true
	c.wantNext("HEADERS 7 "+head, `DATA 7 "\x00\x00\x00\x00\t\n\ahello x"`, "HEADERS 7 grpc-status=0 end")
}

// TestServiceGetsNoProtobuf: it is told, and the client is.
func TestServiceGetsNoProtobuf(t *testing.T) {
	w := newWorld(t, &grpcloop.Server{})
	w.RegisterService(service(func(context.Context, string) (string, error) { return "", nil }, nil), nil)
	c := w.greeted(t)
	c.open(1, "/s/unary")
	c.data(1, true, framed("\xff"))
	if got := c.next(); !strings.HasPrefix(got, "HEADERS 1 :status=200 grpc-status=13 grpc-message=proto:") {
		t.Error(got)
	}
}

// TestServiceIsHeldBack: one that sends without end does so no faster than the other end takes it, and not after the end.
func TestServiceIsHeldBack(t *testing.T) {
	for name, windows := range map[string]uint32{"by the stream's credit": 100_000, "by the connection": 3_000_000} {
		t.Run(name, func(t *testing.T) {
			bubble(t, &grpcloop.Server{}, func(t *testing.T, w *world) {
				var sent atomic.Int64
				var end error
				w.RegisterService(service(nil, func(s grpc.ServerStream) error {
					for end == nil && sent.Load() < 500 {
						if end = s.SendMsg(wrapperspb.Bytes(make([]byte, 50_000))); end == nil {
							sent.Add(1)
						}
					}
					return end
				}), nil)
				c := w.piped(t)
				c.ok(c.WriteSettings(window(windows)))
				c.ok(c.WriteWindowUpdate(0, 1<<30))
				c.answers()
				c.stopReading()
				c.open(1, "/s/stream")
				synctest.Wait()
				before := sent.Load()
				if before > 20 {
					t.Errorf("%d messages were sent to one who takes none", before)
				}
				c.goOnReading()
				c.ok(c.WriteWindowUpdate(1, 1_000_000))
				synctest.Wait()
				if sent.Load() < before+10 {
					t.Error("it does not go on")
				}
				c.ok(c.WriteRSTStream(1, http2.ErrCodeCancel))
				synctest.Wait()
				if !grpcloop.IsCanceled(end) {
					t.Errorf("it has ended with %v", end)
				}
			})
		})
	}
}
