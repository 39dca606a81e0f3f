package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChangesAndValidators: PUT changes a user, the ETag changes with it, and the caller is part of the user.
func TestChangesAndValidators(t *testing.T) {
	store, err := openUsers(t.Context(), filepath.Join(t.TempDir(), "legacy.db"), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	s := &service{users: store, cacheControl: "max-age=1", writable: true, callers: true}
	send := func(method, path, body string, headers ...string) *http.Response {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w.Result()
	}
	expect := func(response *http.Response, status int, body string) {
		t.Helper()
		got, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != status || string(got) != body {
			t.Errorf("%d %s (%v), want %d %s", response.StatusCode, got, err, status, body)
		}
	}
	const path = "/api/v1/users/7"
	first := send("GET", path, "")
	etag := first.Header.Get("ETag")
	expect(first, 200, seven)
	if first.Header.Get("Cache-Control") != "max-age=1" || etag == "" {
		t.Errorf("headers: %v", first.Header)
	}
	expect(send("GET", path, "", "If-None-Match", etag), 304, "")

	const change = `{"username":"user7","email":"other@example.com"}`
	expect(send("PUT", path, change), 204, "")
	changed := strings.Replace(seven, "user7@", "other@", 1)
	expect(send("GET", path, "", "If-None-Match", etag), 200, changed)
	expect(send("GET", path, "", "Authorization", "me"), 200, strings.Replace(changed, "}", `,"caller":"me"}`, 1))
	expect(send("PUT", "/api/v1/users/11", change), 404, "")
	for path, body := range map[string]string{path: `{"username":`, "/api/v1/users/x": change} {
		if response := send("PUT", path, body); response.StatusCode != 400 {
			t.Errorf("PUT %s %s: %d, want 400", path, body, response.StatusCode)
		}
	}
}

// TestFaultFile: the file has the fault of requests without a fault of their own.
func TestFaultFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fault")
	store, err := openUsers(t.Context(), filepath.Join(t.TempDir(), "legacy.db"), 10)
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	s := &service{users: store, faults: true, faultFile: file}
	status := func(path string) int {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		return w.Code
	}
	const path = "/api/v1/users/7"
	if got := status(path); got != 200 {
		t.Errorf("without a file: %d", got)
	}
	if err := os.WriteFile(file, []byte("503"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, empty, own := status(path), status(path+"?fault="), status(path+"?fault=404"); all != 503 || empty != 503 ||
		own != 404 {
		t.Errorf("with the file: %d, %d and %d, want 503, 503 and 404", all, empty, own)
	}
}
