// Package grpcloop is a gRPC server for conversations of a few short messages, such as Envoy's external processing: each
// connection is one loop, which reads what has come, has the conversations answer it in place, and writes all answers at
// once. A message wakes no goroutine, unless its conversation says that it is going to wait ([Stream.Detach]).
//
// It speaks HTTP/2 (RFC 9113) by way of golang.org/x/net/http2's Framer and hpack, and gRPC as
// https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md has it, without compression and without deadlines, which
// clients keep themselves. Services that protoc has generated can be registered, too.
package grpcloop

import (
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// Server serves gRPC. Its fields must not change while it serves.
type Server struct {
	Credentials credentials.TransportCredentials // nil is none

	MaxStreams uint32 // at once on a connection; 0 is 1024
	MaxMessage int    // bytes that a message may have that is received; 0 is 4 MiB

	HandshakeTimeout time.Duration // of TLS and of HTTP/2; 0 is 10 seconds
	MaxAge           time.Duration // of a connection, a tenth more or less; then GOAWAY, and its streams finish. 0 is without end
	Keepalive        time.Duration // so long without a frame, and the other end is asked whether it is there; 0 is never
	KeepaliveTimeout time.Duration // so long it may take to answer; 0 is 20 seconds

	methods map[string]Handler

	mu       sync.Mutex
	listener net.Listener
	conns    map[*conn]bool
	stopping bool
	running  sync.WaitGroup // connections, and streams that are detached
}

// Handler is a conversation: it is over when the handler returns, with gRPC's OK, or with the status of the error
// (google.golang.org/grpc/status).
type Handler func(*Stream) error

// Handle registers the handler of a method, such as "/grpc.health.v1.Health/Check".
func (s *Server) Handle(method string, h Handler) {
	if s.methods == nil {
		s.methods = map[string]Handler{}
	}
	s.methods[method] = h
}

// Serve takes connections until the server is stopped, and returns nil then.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.stopping {
		s.mu.Unlock()
		return l.Close()
	}
	s.listener = l
	s.mu.Unlock()
	for {
		nc, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			stopping := s.stopping
			s.mu.Unlock()
			if stopping {
				return nil
			}
			if isTemporary(err) { // too many files are open, for example
				time.Sleep(10 * time.Millisecond)
				continue
			}
			return err
		}
		c := newConn(s, nc)
		if !s.add(c) {
			_ = nc.Close()
			continue
		}
		go func() {
			defer s.running.Done()
			defer s.remove(c)
			c.serve()
		}()
	}
}

func isTemporary(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}

func (s *Server) add(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return false
	}
	if s.conns == nil {
		s.conns = map[*conn]bool{}
	}
	s.conns[c] = true
	s.running.Add(1)
	return true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// GracefulStop takes no more connections, tells those that are there to go away, and returns when their streams are over.
func (s *Server) GracefulStop() { s.stop((*conn).drain) }

// Stop ends all connections, and returns when their streams are over: they see that they are cancelled.
func (s *Server) Stop() { s.stop((*conn).close) }

func (s *Server) stop(end func(*conn)) {
	s.mu.Lock()
	s.stopping = true
	if s.listener != nil {
		_ = s.listener.Close()
	}
	conns := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		end(c)
	}
	s.running.Wait()
}

// handshake returns the connection that is to be spoken on.
func (s *Server) handshake(nc net.Conn) (net.Conn, error) {
	if s.Credentials == nil {
		return nc, nil
	}
	secure, _, err := s.Credentials.ServerHandshake(nc)
	return secure, err
}

func (s *Server) maxStreams() int {
	if s.MaxStreams == 0 {
		return 1024
	}
	return int(s.MaxStreams)
}

func (s *Server) maxMessage() int {
	if s.MaxMessage == 0 {
		return 4 << 20
	}
	return s.MaxMessage
}

func (s *Server) handshakeTimeout() time.Duration {
	if s.HandshakeTimeout == 0 {
		return 10 * time.Second
	}
	return s.HandshakeTimeout
}

func (s *Server) keepaliveTimeout() time.Duration {
	if s.KeepaliveTimeout == 0 {
		return 20 * time.Second
	}
	return s.KeepaliveTimeout
}
