package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// delay is what each side of the overlap takes longer.
const delay = 20 * time.Millisecond

// overlap measures with a legacy service and a MongoDB that are both slow: what counts is whether a request waits for the
// slower, or for both.
func overlap(ctx context.Context, o options) (t table, err error) {
	o.python = "" // two calls at once are two calls at once
	w := &world{options: o}
	defer func() { err = errors.Join(err, w.stop()) }()
	var slow *slowProxy
	defer func() {
		if slow != nil {
			slow.close()
		}
	}()
	err = w.start(ctx, func() (uri string, err error) {
		if slow, err = startSlowProxy(strings.TrimPrefix(w.mongod.URI(), "mongodb://")); err != nil {
			return "", err
		}
		// Without directConnection the driver would go on to the address that mongod gives for itself.
		return "mongodb://" + slow.listener.Addr().String() + "/?directConnection=true", nil
	})
	if err != nil {
		return t, err
	}
	fmt.Fprintln(os.Stderr, "bench: the legacy service and MongoDB each take 20 ms longer")
	t, err = w.takeTurns(ctx, load{connections: 1, query: "?delay=" + delay.String()})
	t.Title, t.Connections = overlapTitle, 0
	return t, err
}

const overlapTitle = "Overlap: the legacy service and MongoDB each take 20 ms longer, 1 connection"

// slowProxy passes on what a server says later than it was said.
type slowProxy struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	conns []net.Conn
	open  sync.WaitGroup
}

func startSlowProxy(server string) (*slowProxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &slowProxy{listener: listener, server: server}
	p.open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.open.Go(func() { p.pass(client) })
		}
	})
	return p, nil
}

func (p *slowProxy) pass(client net.Conn) {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.conns = append(p.conns, client, server)
	p.mu.Unlock()
	p.open.Go(func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	})
	defer func() { _ = client.Close() }()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		time.Sleep(delay)
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func (p *slowProxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.open.Wait()
}
