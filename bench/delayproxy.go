package main

import (
	"context"
	"io"
	"net"
	"syscall"
	"time"
)

// serveDelayProxy forwards TCP connections and delays each direction, like a network: the delay does not limit the
// throughput, and several commands of a connection may be in flight.
func serveDelayProxy(ctx context.Context, listen, to string, delay time.Duration) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	for {
		client, err := listener.Accept()
		if err != nil {
			return err
		}
		server, err := net.Dial("tcp", to)
		if err != nil {
			_ = client.Close()
			continue
		}
		go relay(server, client, delay, sleep)
		go relay(client, server, delay, sleep)
	}
}

// relay copies src to dst until one of them fails, and closes both. It writes each chunk after the delay.
func relay(dst io.WriteCloser, src io.ReadCloser, delay time.Duration, sleep func(time.Duration)) {
	type chunk struct {
		data []byte
		due  time.Time
	}
	inFlight := make(chan chunk, 4096)
	go func() {
		defer close(inFlight)
		buffer := make([]byte, 64<<10)
		for {
			n, err := src.Read(buffer)
			if n > 0 {
				inFlight <- chunk{append([]byte(nil), buffer[:n]...), time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for c := range inFlight {
		sleep(time.Until(c.due))
		if _, err := dst.Write(c.data); err != nil {
			break
		}
	}
	_ = dst.Close()
	_ = src.Close()
	for range inFlight { // unblocks the reader
	}
}

// sleep is more precise than time.Sleep, whose timers are rounded up to a millisecond in an idle process.
func sleep(d time.Duration) {
	if d > 0 {
		t := syscall.NsecToTimespec(int64(d))
		_ = syscall.Nanosleep(&t, nil) // an interrupted sleep is a little short
	}
}
