package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serveUsers starts a service with ten users.
func serveUsers(t *testing.T, faults bool) *httptest.Server {
	t.Helper()
	store, err := openUsers(t.Context(), filepath.Join(t.TempDir(), "odd ?#% name.db"), 10)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&service{users: store, faults: faults})
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if err := store.close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// send sends a request over a new connection. It does not follow redirects.
func send(t *testing.T, method, url string) *http.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func read(t *testing.T, response *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

const seven = `{"userId":7,"username":"user7","email":"user7@example.com","createdAt":"2020-02-29T12:34:56.789+00:00"}`

const five = `{"userId":5,"username":"user5","email":"user5@example.com","createdAt":"2020-02-28T10:34:56.789+00:00"}`

func TestSpringResponses(t *testing.T) {
	const spring = "(Spring's error JSON)"
	cases := []struct {
		name, method, path string
		status             int
		body, allow        string
	}{
		{"a user", "GET", "/api/v1/users/7", 200, seven, ""},
		{"leading zeros", "GET", "/api/v1/users/007", 200, seven, ""},
		{"a plus sign", "GET", "/api/v1/users/+5", 200, five, ""},
		{"an escaped digit", "GET", "/api/v1/users/%37", 200, seven, ""},
		{"no such user", "GET", "/api/v1/users/11", 404, "", ""},
		{"a negative id", "GET", "/api/v1/users/-5", 404, "", ""},
		{"the largest long", "GET", "/api/v1/users/9223372036854775807", 404, "", ""},
		{"one more than that", "GET", "/api/v1/users/9223372036854775808", 400, spring, ""},
		{"a word", "GET", "/api/v1/users/abc", 400, spring, ""},
		{"hexadecimal", "GET", "/api/v1/users/0x1F", 400, spring, ""},
		{"underscores", "GET", "/api/v1/users/1_000", 400, spring, ""},
		{"a fraction", "GET", "/api/v1/users/7.0", 400, spring, ""},
		{"an escaped slash", "GET", "/api/v1/users/7%2F8", 400, spring, ""},
		{"no id", "GET", "/api/v1/users/", 404, spring, ""},
		{"a longer path", "GET", "/api/v1/users/7/orders", 404, spring, ""},
		{"another path", "GET", "/", 404, spring, ""},
		{"HEAD", "HEAD", "/api/v1/users/7", 200, "", ""},
		{"HEAD, no such user", "HEAD", "/api/v1/users/11", 404, "", ""},
		{"OPTIONS", "OPTIONS", "/api/v1/users/7", 200, "", "GET,HEAD,OPTIONS"},
		{"POST", "POST", "/api/v1/users/7", 405, spring, "GET,HEAD,OPTIONS"},
		{"DELETE, no such user", "DELETE", "/api/v1/users/abc", 405, spring, "GET,HEAD,OPTIONS"},
		{"a fault while they are off", "GET", "/api/v1/users/7?fault=500", 200, seven, ""},
	}
	server := serveUsers(t, false)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			response := send(t, c.method, server.URL+c.path)
			body := read(t, response)
			if response.StatusCode != c.status || response.Header.Get("Allow") != c.allow {
				t.Errorf("status %d, allow %q, want %d, %q", response.StatusCode, response.Header.Get("Allow"), c.status, c.allow)
			}
			if c.body == spring {
				path, _, _ := strings.Cut(c.path, "?")
				checkSpringError(t, body, c.status, path)
			} else if body != c.body {
				t.Errorf("body %s\nwant %s", body, c.body)
			}
			length, contentType := response.ContentLength, response.Header.Get("Content-Type")
			if c.method == "GET" && body != "" && (length != -1 || contentType != "application/json") {
				t.Errorf("content-length %d, content-type %q, want chunked JSON", length, contentType)
			}
			if c.method == "GET" && body == "" && response.ContentLength != 0 {
				t.Errorf("content-length %d of an empty body, want 0", response.ContentLength)
			}
		})
	}
}

func checkSpringError(t *testing.T, body string, status int, path string) {
	t.Helper()
	var got struct {
		Timestamp, Error, Path string
		Status                 int
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if _, err := time.Parse(jacksonTime, got.Timestamp); err != nil {
		t.Error(err)
	}
	if got.Status != status || got.Error != http.StatusText(status) || got.Path != path {
		t.Errorf("Spring error %s, want status %d and path %s", body, status, path)
	}
}

func TestUnicodeName(t *testing.T) {
	store, err := openUsers(t.Context(), filepath.Join(t.TempDir(), "legacy.db"), 99)
	if err != nil {
		t.Fatal(err)
	}
	defer store.close()
	for id, want := range map[int64]string{42: `"username":"山田太郎"`, 77: `"username":"Ann \"Tabs\" O'Hara <ann&co>"`} {
		found, err := store.find(t.Context(), id)
		if err != nil || !strings.Contains(string(encode(found)), want) {
			t.Errorf("user %d: %s (%v), want %s", id, encode(found), err, want)
		}
	}
}

func TestSeedOnlyOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "legacy.db")
	for range 2 {
		store, err := openUsers(t.Context(), path, 3)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := store.db.ExecContext(t.Context(), "DELETE FROM users WHERE user_id = 2"); err != nil {
			t.Error(err)
		}
		var count int
		if err := store.db.QueryRowContext(t.Context(), "SELECT count(*) FROM users").Scan(&count); err != nil || count != 2 {
			t.Errorf("%d users (%v), want the 2 remaining ones", count, err)
		}
		if err := store.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBusyPort(t *testing.T) {
	server := serveUsers(t, false)
	address := server.Listener.Addr().String()
	err := run(t.Context(), config{listen: address, db: filepath.Join(t.TempDir(), "legacy.db")})
	if err == nil {
		t.Fatal("no error for a busy port")
	}
	text := err.Error()
	if !strings.Contains(text, address) || !strings.Contains(text, "-listen") || strings.Contains(text, "\n") {
		t.Errorf("a busy port: %v, want one line with %s and -listen", err, address)
	}
}

func TestRunEndsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, config{listen: "127.0.0.1:0", db: filepath.Join(t.TempDir(), "legacy.db"), users: 3})
	}()
	time.AfterFunc(100*time.Millisecond, cancel)
	select {
	case err := <-ended:
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("run has not returned after its context ended")
	}
}
