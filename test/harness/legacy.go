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

// Legacy is a legacy service in this process.
type Legacy struct {
	Addr    string // host:port, the same after a stop and a start
	handler atomic.Pointer[http.Handler]
	server  *http.Server
}

// StartLegacy starts a legacy service that knows all users ([NewUser]).
func StartLegacy(address string) (*Legacy, error) {
	l := &Legacy{Addr: address}
	l.Handle(nil)
	return l, l.Start()
}

// Start starts the service again after Stop.
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

// Handle changes the responses. If the handler is nil, they are those of the users again.
func (l *Legacy) Handle(handler http.Handler) {
	if handler == nil {
		handler = http.HandlerFunc(serveUser)
	}
	l.handler.Store(&handler)
}

// serveUser responds in chunks, as Spring Boot does.
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
