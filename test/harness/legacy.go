package harness

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Legacy is an in-process legacy service.
type Legacy struct {
	Addr    string // host:port; does not change on a restart
	handler atomic.Pointer[http.Handler]
	server  *http.Server
}

// StartLegacy starts a legacy service that responds with [NewUser].
func StartLegacy(address string) (*Legacy, error) {
	l := &Legacy{Addr: address}
	l.Handle(nil)
	return l, l.Start()
}

// Start starts the service after Stop.
func (l *Legacy) Start() error {
	listener, err := net.Listen("tcp", l.Addr)
	if err != nil {
		return err
	}
	l.Addr = listener.Addr().String()
	handler := func(w http.ResponseWriter, r *http.Request) { (*l.handler.Load()).ServeHTTP(w, r) }
	l.server = &http.Server{Handler: http.HandlerFunc(handler), ReadHeaderTimeout: time.Minute}
	server := l.server
	go func() { _ = server.Serve(listener) }()
	return nil
}

// Stop closes the listener and all connections.
func (l *Legacy) Stop() error { return l.server.Close() }

// Handle sets the handler of requests. A nil handler responds with [NewUser].
func (l *Legacy) Handle(handler http.Handler) {
	if handler == nil {
		handler = http.HandlerFunc(serveUser)
	}
	l.handler.Store(&handler)
}

// serveUser responds with chunked encoding, like Spring Boot.
func serveUser(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).Flush()
	_, _ = io.WriteString(w, NewUser(id).Core)
}
