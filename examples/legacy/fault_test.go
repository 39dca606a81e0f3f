package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"
)

func TestFaults(t *testing.T) {
	const anything = "(anything)"
	cases := []struct {
		fault  string
		status int
		body   string
	}{
		{"500", 500, anything},
		{"503", 503, anything},
		{"401", 401, anything},
		{"403", 403, anything},
		{"429", 429, anything},
		{"404", 404, ""},
		{"304", 304, ""},
		{"redirect", 302, ""},
		{"204", 204, ""},
		{"empty", 200, ""},
		{"truncated", 200, seven[:len(seven)/2]},
		{"not-json", 200, "this is not JSON"},
		{"html", 200, anything},
		{"array", 200, "[" + seven + "]"},
		{"delay:1ms", 200, seven},
		{"delay:1ms,204", 204, ""},
	}
	server := serveUsers(t, true)
	for _, c := range cases {
		t.Run(c.fault, func(t *testing.T) {
			response := send(t, "GET", server.URL+"/api/v1/users/7?fault="+c.fault)
			body := read(t, response)
			if response.StatusCode != c.status || c.body != anything && body != c.body {
				t.Errorf("%d %q, want %d %q", response.StatusCode, body, c.status, c.body)
			}
			if body == "" && c.body == anything {
				t.Error("the body is empty")
			}
		})
	}
}

func TestNoSuchUserWithFault(t *testing.T) {
	server := serveUsers(t, true)
	if response := send(t, "GET", server.URL+"/api/v1/users/11?fault=array"); response.StatusCode != 404 {
		t.Errorf("status %d, want 404", response.StatusCode)
	}
	if response := send(t, "GET", server.URL+"/api/v1/users/11?fault=500"); response.StatusCode != 500 {
		t.Errorf("status %d, want 500", response.StatusCode)
	}
}

func TestDelay(t *testing.T) {
	server := serveUsers(t, true)
	start := time.Now()
	send(t, "GET", server.URL+"/api/v1/users/7?fault=delay:80ms")
	if took := time.Since(start); took < 80*time.Millisecond {
		t.Errorf("response after %v, want 80 ms or more", took)
	}
}

func TestUnknownFault(t *testing.T) {
	server := serveUsers(t, true)
	for _, query := range []string{"fault=nonsense", "fault=delay:soon", "fault=delay:-1s", "fault=500&fault=404"} {
		response := send(t, "GET", server.URL+"/api/v1/users/7?"+query)
		if body := read(t, response); response.StatusCode != 400 || strings.Count(body, "\n") != 1 {
			t.Errorf("%s: %d %q, want 400 and one line", query, response.StatusCode, body)
		}
	}
	if body := read(t, send(t, "GET", server.URL+"/api/v1/users/7?fault=nonsense")); !strings.Contains(body, validFaults) {
		t.Errorf("%q does not list the valid faults", body)
	}
}

func TestReset(t *testing.T) {
	server := serveUsers(t, true)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/v1/users/7?fault=reset", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want a connection reset", err)
	}
}

func TestResetBody(t *testing.T) {
	server := serveUsers(t, true)
	response := send(t, "GET", server.URL+"/api/v1/users/7?fault=reset-body")
	body, err := io.ReadAll(response.Body)
	if response.StatusCode != 200 || string(body) != seven[:len(seven)/2] || err == nil {
		t.Errorf("%d %q (%v), want 200, half a body and a reset", response.StatusCode, body, err)
	}
}

func TestGzip(t *testing.T) {
	server := serveUsers(t, true)
	for name, size := range map[string]int64{
		"gzip": int64(len(seven)), "bomb": int64(len(seven)+len(`,"padding":""`)) + 50<<20,
	} {
		response := send(t, "GET", server.URL+"/api/v1/users/7?fault="+name)
		packed := read(t, response)
		reader, err := gzip.NewReader(strings.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.Copy(io.Discard, reader); err != nil || plain != size {
			t.Errorf("%s unpacks to %d bytes (%v), want %d", name, plain, err, size)
		}
		if len(packed) > 100<<10 || response.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: %d bytes packed, encoding %q", name, len(packed), response.Header.Get("Content-Encoding"))
		}
	}
}

func TestLargeBody(t *testing.T) {
	server := serveUsers(t, true)
	for name, size := range map[string]int{"200kb": 200 << 10, "5mb": 5 << 20} {
		body := read(t, send(t, "GET", server.URL+"/api/v1/users/7?fault="+name))
		if len(body) != len(seven)+len(`,"padding":""`)+size || !json.Valid([]byte(body)) || !utf8.ValidString(body) ||
			!strings.HasPrefix(body, seven[:len(seven)-1]) {
			t.Errorf("%s: %d bytes, want valid JSON that begins with the user and a string of %d bytes", name, len(body), size)
		}
	}
}

func TestDrip(t *testing.T) {
	server := serveUsers(t, true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/users/7?fault=drip", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	start, three := time.Now(), make([]byte, 3)
	if _, err := io.ReadFull(response.Body, three); err != nil || !bytes.Equal(three, []byte(seven[:3])) {
		t.Errorf("%q (%v), want %q", three, err, seven[:3])
	}
	if took := time.Since(start); took < 100*time.Millisecond {
		t.Errorf("three bytes within %v, want one every 100 ms", took)
	}
}
