package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// writeRules writes the rules for a page, with caches: Envoy's configuration is made from them. It does nothing without
// a page, and if the user has a rules file.
func (r *runner) writeRules() error {
	if r.page == "" || r.rules != "" {
		return nil
	}
	r.rules = filepath.Join(r.data, "rules.yaml")
	r.caches = &caches{rules: r.rules, admin: local(r.weftPort)}
	return r.caches.write(true)
}

// listenForPage listens on a free port of 127.0.0.1 for the page. It returns nil without a page. The legacy service
// forwards requests outside its API to that port, so that the page has the same origin as the API.
func (r *runner) listenForPage(ctx context.Context) (net.Listener, error) {
	if r.page == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", local(0))
	if err != nil {
		return nil, fmt.Errorf("listen for the page: %w", err)
	}
	r.pageURL = "http://" + listener.Addr().String()
	return listener, nil
}

// servePage serves the page and its control endpoint. All children must be running.
func (r *runner) servePage(ctx context.Context, listener net.Listener) (closePage func()) {
	serving, cancel := context.WithCancel(ctx)
	mux := http.NewServeMux()
	mux.Handle("/demo/", r.control(serving))
	mux.Handle("/", withHeaders(http.FileServerFS(os.DirFS(r.page))))

	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return serving },
	}
	go func() { _ = server.Serve(listener) }() // until Close
	return func() {
		cancel()
		_ = server.Close()
	}
}

// withHeaders makes browsers revalidate files, because the page may be rebuilt, and forbids framing, so that other
// sites cannot trick users into clicking its buttons.
func withHeaders(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
		files.ServeHTTP(w, r)
	})
}
