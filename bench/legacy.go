package main

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// serveLegacy is a legacy service that costs little: the variants are compared, not it. It answers as Spring Boot does, in
// chunks. ?delay=20ms makes it slow.
func serveLegacy(ctx context.Context, listen string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if err != nil {
			http.Error(w, "no integer", http.StatusBadRequest)
			return
		}
		if delay := r.URL.Query().Get("delay"); delay != "" {
			d, err := time.ParseDuration(delay)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			time.Sleep(d)
		}
		w.Header().Set("content-type", "application/json")
		w.Header().Set("transfer-encoding", "chunked")
		fmt.Fprintf(w, `{"userId": %d, "username": "user%d", "email": "user%d@example.com", "createdAt": "2020-02-29T12:34:56.789+00:00"}`, id, id, id)
	})
	return serve(ctx, listen, mux)
}

func serve(ctx context.Context, listen string, handler http.Handler) error {
	server := &http.Server{Addr: listen, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}
