package main

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// delay is what each side of the overlap takes longer.
const delay = 20 * time.Millisecond

// overlap measures with a legacy service and a MongoDB that are both slow: what counts is whether a request waits for the
// slower, or for both.
func overlap(ctx context.Context, w *world) ([]table, error) {
	t, err := w.takeTurns(ctx, overlapTitle, w.turns(w.only, load{connections: 1, path: func(random *rand.Rand) string {
		return user(random) + "?delay=" + delay.String()
	}}))
	return []table{t}, err
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
