package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// listenForPage takes a free port of 127.0.0.1 for the page; nil if there is none. The legacy service passes on to there
// what is not for its API, so that the browser finds all of it behind Envoy's one listener.
func (r *runner) listenForPage(ctx context.Context) (net.Listener, error) {
	if r.page == "" {
		return nil, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", local(0))
	if err != nil {
		return nil, fmt.Errorf("the page needs a port: %w", err)
	}
	r.pageURL = "http://" + listener.Addr().String()
	return listener, nil
}

// servePage serves the page and its control endpoint, once all children run.
func (r *runner) servePage(ctx context.Context, listener net.Listener) (closePage func()) {
	serving, cancel := context.WithCancel(ctx)
	mux := http.NewServeMux()
	mux.Handle("/demo/", r.control(serving))
	mux.Handle("/", fresh(http.FileServerFS(os.DirFS(r.page))))

	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return serving },
	}
	go func() { _ = server.Serve(listener) }() // until Close
	return func() {
		cancel()
		_ = server.Close() // what is under way is of no use any more
	}
}

// fresh has the browser ask each time whether a file is still the same: the page may be built again under it. And nobody
// may put the page into a frame of theirs, under which a click would end a process.
func fresh(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("Content-Security-Policy", "frame-ancestors 'none'")
		files.ServeHTTP(w, r)
	})
}
