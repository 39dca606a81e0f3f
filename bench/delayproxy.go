package main

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// serveDelayProxy forwards TCP connections and delays each direction, like a network: the delay does not limit the
// throughput, and several commands of a connection may be in flight. It competes with what it delays for the CPUs, and
// uses half of the CPU time without other threads to wake.
func serveDelayProxy(ctx context.Context, listen, to string, delay time.Duration) error {
	runtime.GOMAXPROCS(1)
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
		for _, ends := range [][2]net.Conn{{server, client}, {client, server}} {
			t, err := newTimer()
			if err != nil {
				return err
			}
			go func() {
				relay(ends[0], ends[1], delay, t.sleep)
				_ = t.file.Close()
			}()
		}
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

// timer is more precise than one of Go, which is rounded up to a millisecond in an idle process. Unlike a thread in
// nanosleep(2), which the runtime polls, a goroutine that waits for it costs little CPU time.
type timer struct {
	fd   int
	file *os.File // lets the runtime wait for it
}

func newTimer() (timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return timer{}, err
	}
	return timer{fd, os.NewFile(uintptr(fd), "timer")}, nil
}

func (t timer) sleep(d time.Duration) {
	if d <= 0 {
		return
	}
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	if unix.TimerfdSettime(t.fd, 0, &at, nil) == nil {
		_, _ = t.file.Read(make([]byte, 8)) // the number of expirations
	}
}
