package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveLegacy serves a legacy service that uses little CPU, because all variants share it. Its responses are chunked,
// like Spring Boot's. The parameter delay=20ms delays a response; pad=1000 adds 1000 bytes.
func serveLegacy(ctx context.Context, listen string) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/users/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if errors.Is(err, strconv.ErrRange) { // the route of the rule takes it, but no rule matches
			id, err = 1, nil
		}
		if err != nil {
			http.Error(w, "not an integer", http.StatusBadRequest)
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
		pad := ""
		if n, err := strconv.Atoi(r.URL.Query().Get("pad")); err == nil {
			pad = `, "pad": "` + strings.Repeat("x", max(0, n)) + `"`
		}
		chunked(w)
		writeUser(w, id, pad)
	})
	mux.HandleFunc("GET /api/v1/lists/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.PathValue("n"))
		if err != nil {
			http.Error(w, "not an integer", http.StatusBadRequest)
			return
		}
		chunked(w)
		_, _ = io.WriteString(w, "[")
		first := rand.IntN(users)
		for i := range n {
			if i > 0 {
				_, _ = io.WriteString(w, ",")
			}
			writeUser(w, int64((first+i)%users), "")
		}
		_, _ = io.WriteString(w, "]")
	})
	mux.HandleFunc("GET /plain/{id}", func(w http.ResponseWriter, _ *http.Request) {
		chunked(w)
		writeUser(w, 1, "")
	})
	return serve(ctx, listen, mux)
}

func chunked(w http.ResponseWriter) {
	w.Header().Set("content-type", "application/json")
	w.Header().Set("transfer-encoding", "chunked")
}

func writeUser(w io.Writer, id int64, more string) {
	fmt.Fprintf(w, `{"userId": %d, "username": "user%d", "email": "user%d@example.com", `+
		`"createdAt": "2020-02-29T12:34:56.789+00:00"%s}`, id, id, id, more)
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
