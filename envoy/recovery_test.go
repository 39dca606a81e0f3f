package envoy_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/internal/stack"
)

// TestMongoDBDown starts weft while MongoDB is down: the extension is missing until MongoDB is there, no longer, and
// weft is not started again.
func TestMongoDBDown(t *testing.T) {
	port, err := stack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	options := stack.MongodOptions{Dir: t.TempDir(), Port: port}
	// The message timeout, less a tenth, is what weft waits for MongoDB.
	s := startSystem(t, systemOptions{mongodbURI: fmt.Sprintf("mongodb://127.0.0.1:%d", port), message: 2 * time.Second})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))

	whole := "200\nx-weft: composed\n\n" +
		`{"core":` + coreUser7 + `,"extension":{"userId":7,"tags":[],"lastActivityScore":0.0,"customSettings":{}},"errors":[]}`
	degraded := "200\nx-weft: degraded; reason=extension-timeout\n\n" +
		`{"core":` + coreUser7 + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
	checkAnswer(t, degraded, "", s.get(t, "/api/v1/users/7"))

	// Twice: for a MongoDB that comes up late, and for one that goes away under warm connections.
	for range 2 {
		server, err := stack.StartMongod(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Kill() })
		eventually(t, "an answer is whole again", func() bool {
			return strings.Contains(s.get(t, "/api/v1/users/7").header.Get("x-weft"), "composed")
		})
		checkAnswer(t, whole, "", s.get(t, "/api/v1/users/7"))

		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		got := s.get(t, "/api/v1/users/7")
		// A connection that breaks is an error at once, one that cannot be made a wait.
		got.header.Set("x-weft", strings.ReplaceAll(got.header.Get("x-weft"), "extension-failed", "extension-timeout"))
		checkAnswer(t, degraded, "", got)
	}
}

// TestMongoDBFrozen stops MongoDB in its tracks, with warm connections, under 200 requests at once. Each gets its
// composite, without an extension; and when MongoDB goes on, so does weft.
func TestMongoDBFrozen(t *testing.T) {
	server, err := stack.StartMongod(t.Context(), stack.MongodOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	s := startSystem(t, systemOptions{mongodbURI: server.URI(), message: 3 * time.Second})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	whole := func() bool { return s.get(t, "/api/v1/users/7").header.Get("x-weft") == "composed" }
	eventually(t, "an answer is whole", whole)

	if err := server.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Signal(syscall.SIGCONT) })
	var asking sync.WaitGroup
	for range 200 {
		asking.Go(func() {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/users/7", http.NoBody)
			if err != nil {
				t.Error(err)
				return
			}
			got, err := s.try(http1(), req)
			want := `{"core":` + coreUser7 + `,"extension":null,"errors":["Failed to fetch extended user profile."]}`
			if err != nil || got.status != http.StatusOK || got.body != want {
				t.Errorf("%v, %d %q", err, got.status, got.body)
			}
		})
	}
	asking.Wait()

	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer is whole again", whole)
	s.checkIdle(t)
}

// TestLargestDocument joins a document as large as MongoDB stores: 16 MB.
func TestLargestDocument(t *testing.T) {
	s := startSystem(t, systemOptions{})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	settings := `{"a":"` + strings.Repeat("x", 16<<20-200) + `"}`
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON([]byte(`{"userId":7,"customSettings":`+settings+`}`), false, &doc); err != nil {
		t.Fatal(err)
	}
	s.setProfiles(doc)
	want := "200\nx-weft: composed\n\n" +
		`{"core":` + coreUser7 + `,"extension":{"userId":7,"tags":[],"lastActivityScore":0.0,"customSettings":` + settings + `},"errors":[]}`
	for _, route := range routes {
		for _, protocols := range []*http.Protocols{http1(), http2()} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+route.path+"/7", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			checkAnswer(t, want, "", s.doWith(t, protocols, req))
		}
	}
	s.legacy.answer("/api/v1/users/7", raw("HTTP/1.1 200 OK\r\ncontent-length: 55\r\n\r\n"+coreUser7))
	checkAnswer(t, want, "", s.get(t, "/api/v1/users/7"))
}
