package main

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

// service serves /api/v1/users/{userId} like Spring Boot.
type service struct {
	users  *users
	faults bool         // enables ?fault=
	others http.Handler // for requests that are not below /api/; nil means 404

	faultFile string // has the fault of requests without ?fault=; empty means none

	cacheControl string // of responses with a user, which then have an ETag; empty means none
	writable     bool   // enables PUT
	callers      bool   // adds the caller to the user
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.others != nil && !strings.HasPrefix(r.URL.Path, "/api/") {
		s.others.ServeHTTP(w, r)
		return
	}
	// http.ServeMux would redirect odd paths; Spring does not.
	segment, found := strings.CutPrefix(r.URL.EscapedPath(), "/api/v1/users/")
	if !found || segment == "" || strings.Contains(segment, "/") {
		springError(w, r, http.StatusNotFound)
		return
	}
	if !s.allows(w, r) {
		return
	}
	id, err := parseLong(segment)
	if err != nil {
		springError(w, r, http.StatusBadRequest)
		return
	}
	if r.Method == http.MethodPut {
		s.put(w, r, id)
		return
	}
	var f fault
	if s.faults {
		if f, err = parseFault(s.faultsOf(r)); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	if f.delay > 0 {
		select {
		case <-time.After(f.delay):
		case <-r.Context().Done():
			return
		}
	}
	person, err := s.users.find(r.Context(), id)
	switch {
	case f.ignoresUser():
		f.respond(w, r, nil)
	case errors.Is(err, sql.ErrNoRows):
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		fmt.Fprintf(os.Stderr, "legacy: user %d: %v\n", id, err)
		springError(w, r, http.StatusInternalServerError)
	case f.name != "":
		f.respond(w, r, encode(person))
	default:
		if s.callers {
			person.Caller = r.Header.Get("Authorization")
		}
		s.writeUser(w, r, encode(person))
	}
}

// faultsOf returns the values of the query parameter, or what the fault file has.
func (s *service) faultsOf(r *http.Request) []string {
	faults := r.URL.Query()["fault"]
	if strings.Join(faults, "") == "" && s.faultFile != "" {
		if text, err := os.ReadFile(s.faultFile); err == nil {
			faults = []string{string(text)}
		}
	}
	return faults
}

// allows reports whether the service has the request's method for users. If not, it responds.
func (s *service) allows(w http.ResponseWriter, r *http.Request) bool {
	allow := "GET,HEAD,OPTIONS"
	if s.writable {
		allow = "GET,HEAD,PUT,OPTIONS"
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPut:
		if s.writable {
			return true
		}
	case http.MethodOptions:
		w.Header().Set("Allow", allow)
		return false
	}
	w.Header().Set("Allow", allow)
	springError(w, r, http.StatusMethodNotAllowed)
	return false
}

// put changes the name and the e-mail address of a user. It responds when the change is in the database.
func (s *service) put(w http.ResponseWriter, r *http.Request, id int64) {
	var person user
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&person) != nil {
		springError(w, r, http.StatusBadRequest)
		return
	}
	person.ID = id
	switch err := s.users.update(r.Context(), person); {
	case errors.Is(err, sql.ErrNoRows):
		w.WriteHeader(http.StatusNotFound)
	case err != nil:
		fmt.Fprintf(os.Stderr, "legacy: change user %d: %v\n", id, err)
		springError(w, r, http.StatusInternalServerError)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}

// writeUser sends a user, or 304 if the client has it (RFC 9110, section 13.1.2).
func (s *service) writeUser(w http.ResponseWriter, r *http.Request, body []byte) {
	if s.cacheControl != "" {
		etag := fmt.Sprintf(`"%x"`, sha256.Sum256(body))
		w.Header().Set("Cache-Control", s.cacheControl)
		w.Header().Set("ETag", etag)
		if r.Header.Get("If-None-Match") == etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	writeJSON(w, http.StatusOK, body)
}

// parseLong parses a path segment like Java's Long.parseLong for ASCII digits: a sign and leading zeros are allowed.
func parseLong(segment string) (int64, error) {
	text, err := url.PathUnescape(segment)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(text, 10, 64)
}

// springError responds with the JSON of Spring Boot's BasicErrorController.
func springError(w http.ResponseWriter, r *http.Request, status int) {
	writeJSON(w, status, encode(struct {
		Timestamp string `json:"timestamp"`
		Status    int    `json:"status"`
		Error     string `json:"error"`
		Path      string `json:"path"`
	}{time.Now().UTC().Format(jacksonTime), status, http.StatusText(status), r.URL.EscapedPath()}))
}

// writeJSON sends a chunked body without content-length, Spring's default.
func writeJSON(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeChunk(w, body)
}

// writeChunk flushes bytes, so that net/http does not set content-length. It returns false if the client has
// disconnected.
func writeChunk(w http.ResponseWriter, body []byte) bool {
	if _, err := w.Write(body); err != nil {
		return false
	}
	return http.NewResponseController(w).Flush() == nil
}

// encode returns JSON like Jackson's: compact and with minimal escaping.
func encode(value any) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return []byte("null") // unreachable: encoding the structs of this package does not fail
	}
	return bytes.TrimRight(text.Bytes(), "\n")
}
