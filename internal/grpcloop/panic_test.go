package grpcloop_test

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"google.golang.org/grpc/credentials/insecure"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/internal/grpcloop"
)

// panicking has a process of its own in which a handler panics.
const panicking = "WEFT_TEST_PANIC"

// TestPanics: a handler that panics ends the process, as in every goroutine, wherever it runs, and whatever others are at.
func TestPanics(t *testing.T) {
	ways := map[string]func(*grpcloop.Stream){
		"loop":     func(*grpcloop.Stream) {},
		"detached": (*grpcloop.Stream).Detach,
		"woken":    func(s *grpcloop.Stream) { s.Await(time.Hour, func(wake func()) { go wake() }) },
	}
	if way := os.Getenv(panicking); way != "" {
		panicIn(t, ways[way])
		return
	}
	for way := range ways {
		t.Run(way, func(t *testing.T) {
			self := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPanics$")
			self.Env = append(os.Environ(), panicking+"="+way)
			out, err := self.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !bytes.Contains(out, []byte("panic: the handler's")) {
				t.Errorf("got %v\n%s", err, out)
			}
		})
	}
}

func panicIn(t *testing.T, wait func(*grpcloop.Stream)) {
	var server grpcloop.Server
	server.Handle("/t/panic", func(s *grpcloop.Stream) error {
		wait(s)
		panic("the handler's")
	})
	server.Handle("/t/busy", func(s *grpcloop.Stream) error {
		s.Detach()
		select {}
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(l) }()
	cc, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	begin(t.Context(), t, cc, "/t/busy")
	_ = cc.Invoke(t.Context(), "/t/panic", wrapperspb.Bool(true), &wrapperspb.BoolValue{})
	select {}
}
