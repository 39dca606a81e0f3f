package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// FreePort returns a free TCP port on 127.0.0.1. Another process may take it before the caller does.
func FreePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("no free port on 127.0.0.1: %w", err)
	}
	_, text, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return 0, errors.Join(err, listener.Close())
	}
	port, err := strconv.Atoi(text)
	return port, errors.Join(err, listener.Close())
}

// FreeAddr returns the host:port of a [FreePort].
func FreeAddr() (string, error) {
	port, err := FreePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// ErrPortBusy is wrapped by errors of CheckPort, StartMongod and StartRedis if another process listens on the port.
var ErrPortBusy = errors.New("in use by another process")

// CheckPort tries to listen on a TCP port of 127.0.0.1. The error contains the port, and wraps ErrPortBusy if another
// process listens on it.
func CheckPort(port int) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d is %w", port, ErrPortBusy)
	}
	if err != nil {
		return fmt.Errorf("port %d cannot be used: %w", port, err)
	}
	return listener.Close()
}

// startOnPort starts a server with the argument --port, and returns when it is ready. If the port is 0, startOnPort
// sets it to a free one. If the port is in use, the error wraps [ErrPortBusy].
func startOnPort(ctx context.Context, port *int, command Command) (*Process, error) {
	const attempts = 5 // another process may take a free port first
	isFixed := *port != 0
	for attempt := 1; ; attempt++ {
		if !isFixed {
			var err error
			if *port, err = FreePort(); err != nil {
				return nil, err
			}
		}
		server, err := tryPort(ctx, *port, command)
		if isFixed || attempt == attempts || !errors.Is(err, ErrPortBusy) {
			return server, err
		}
	}
}

func tryPort(ctx context.Context, port int, command Command) (*Process, error) {
	if err := CheckPort(port); err != nil {
		return nil, fmt.Errorf("%s: %w", command.Name, err)
	}
	command.Args = append([]string{"--port", strconv.Itoa(port)}, command.Args...)
	server, err := Start(ctx, command)
	if err != nil {
		if busy := CheckPort(port); errors.Is(busy, ErrPortBusy) { // another process was faster
			err = fmt.Errorf("%s: %w", command.Name, busy)
		}
	}
	return server, err
}
