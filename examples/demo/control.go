package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
)

// control returns the handler for the page's buttons:
//
//	GET  /demo/processes                 {"mongod":"running","weft":"running",…}: running, frozen or stopped
//	POST /demo/processes/{name}/{verb}   run, freeze, stop or kill; responds like the previous one when done
//	GET  /demo/legacy/{id}?fault=        the response of the legacy service, as a rawAnswer
//	POST /demo/documents/{id}            adds 1 to the score of a document: {"lastActivityScore":26.9}
//
// Processes include the legacy service, which can run or fail, and weft's caches, which can be on or off.
//
// Because it stops processes, only pages from this machine may use it: the host must be a loopback name, and a POST
// must come from the same origin.
//
// A change continues if the page that requested it disconnects. It ends with the serving context.
func (r *runner) control(serving context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /demo/processes", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, r.states()) })
	mux.HandleFunc("POST /demo/processes/{name}/{verb}", func(w http.ResponseWriter, q *http.Request) {
		r.change(serving, w, q)
	})
	mux.HandleFunc("GET /demo/legacy/{id}", func(w http.ResponseWriter, q *http.Request) {
		writeJSON(w, fetchLegacy(q.Context(), r.legacy, q.PathValue("id"), q.URL.Query().Get("fault")))
	})
	mux.HandleFunc("POST /demo/documents/{id}", r.write)
	sameOrigin := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if !isLoopback(q.Host) {
			http.Error(w, "use 127.0.0.1 or localhost as the host", http.StatusForbidden)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		sameOrigin.ServeHTTP(w, q)
	})
}

func (r *runner) change(ctx context.Context, w http.ResponseWriter, q *http.Request) {
	button, ok := r.buttons()[q.PathValue("name")]
	if !ok {
		http.Error(w, "no such process", http.StatusNotFound)
		return
	}
	switch err := button.do(ctx, q.PathValue("verb")); {
	case errors.Is(err, errVerb):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		writeJSON(w, r.states())
	}
}

// button is something that the page may change.
type button interface {
	status() string
	// do executes a verb. The error for an unknown verb wraps errVerb.
	do(ctx context.Context, verb string) error
}

// buttons returns what the page may change. It depends on Envoy and the legacy service, so it may not stop those. With
// MODE=module weft has no process, and the page no button for it.
func (r *runner) buttons() map[string]button {
	found := make(map[string]button)
	for _, child := range r.children {
		if name := child.current().Name(); name == "mongod" || name == "weft" {
			found[name] = child
		}
	}
	if r.page != "" {
		found["legacy"] = legacyFault{r.faultFile()}
	}
	if r.hasCaches() {
		found["caches"] = r.caches
	}
	return found
}

func (r *runner) states() map[string]string {
	states := make(map[string]string)
	for name, button := range r.buttons() {
		states[name] = button.status()
	}
	return states
}

func isLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport // no port
	}
	host = strings.Trim(host, "[]")
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // fails only if the client has disconnected
}
