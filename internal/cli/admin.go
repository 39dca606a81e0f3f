package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serveAdmin serves metrics, health checks and profiles on --admin, and returns a function that closes the server.
func (s *server) serveAdmin(ctx context.Context, registry *prometheus.Registry) (func(), error) {
	if s.admin == "" {
		return func() {}, nil
	}
	listener, err := net.Listen("tcp", s.admin)
	if err != nil && (!s.isModule || !errors.Is(err, syscall.EADDRINUSE)) {
		return nil, fmt.Errorf("--admin: %w; choose a free host:port, or \"\" to disable it", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { s.ready(w) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	if s.pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	admin := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if listener == nil {
			if listener = s.awaitAddress(ctx, err); listener == nil {
				return
			}
		}
		if err := admin.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.logger.Error("admin server failed", "error", err)
		}
	}()
	return func() { _ = admin.Close() }, nil
}

// awaitAddress waits until the address of the admin listener is free. When the configuration of a module changes, the
// module with the previous one has the address until Envoy has drained its connections; in a hot restart, the previous
// Envoy has it. It returns nil when ctx ends.
func (s *server) awaitAddress(ctx context.Context, err error) net.Listener {
	s.logger.Warn("waiting for the admin address; metrics are not available until then", "error", err)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if listener, err := net.Listen("tcp", s.admin); err == nil {
			s.logger.Info("admin address is available", "admin", s.admin)
			return listener
		}
	}
}

// ready responds whether weft accepts exchanges. It does so without MongoDB too, since a null extension is better than
// no composition.
func (s *server) ready(w http.ResponseWriter) {
	switch {
	case s.stopping.Load():
		http.Error(w, "stopping", http.StatusServiceUnavailable)
	case s.health.Failing():
		fmt.Fprintln(w, "degraded: MongoDB is unavailable, extensions are null")
	default:
		fmt.Fprintln(w, "ok")
	}
}
