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

	"weft/test/harness"
)

// TestMongoDBDown starts weft while MongoDB is down: the extension is missing until MongoDB is there, no longer, and
// weft is not started again.
func TestMongoDBDown(t *testing.T) {
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	options := harness.MongodOptions{Dir: t.TempDir(), Port: port}
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
		server, err := harness.StartMongod(t.Context(), options)
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
	server, err := harness.StartMongod(t.Context(), harness.MongodOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	s := startSystem(t, systemOptions{mongodbURI: server.URI(), message: 3 * time.Second})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	whole := func() bool { return s.get(t, "/api/v1/users/7").header.Get("x-weft") == "composed" }
	eventually(t, "an answer is whole", whole)

	if err := server.Freeze(); err != nil {
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
	// Where the legacy service says a length, Envoy would buffer the answer, too. The first one shows that it is too large.
	s.legacy.answer("/api/v1/users/7", raw("HTTP/1.1 200 OK\r\ncontent-length: 55\r\n\r\n"+coreUser7))
	for _, route := range routes {
		got := s.get(t, route.path+"/7")
		checkAnswer(t, "200\nx-weft: degraded; reason=answer-too-large\n\n"+
			`{"core":`+coreUser7+`,"extension":null,"errors":["Failed to fetch extended user profile."]}`, "", got)
		for range 5 {
			checkAnswer(t, want, "", s.get(t, route.path+"/7"))
		}
	}
}

// TestLargeAnswers: whatever length an answer has, it arrives. Envoy's buffer is 1 MiB and 64 KiB.
func TestLargeAnswers(t *testing.T) {
	for _, kib := range []int{1000, 1086, 1087, 1088, 1089, 1500, 4000} {
		s := startSystem(t, systemOptions{})
		s.legacy.answer("/api/v1/users/7", raw("HTTP/1.1 200 OK\r\ncontent-length: 55\r\n\r\n"+coreUser7))
		settings := strings.Repeat("x", kib<<10)
		var docs []bson.Raw
		for id := 7; id <= 9; id++ {
			doc, err := bson.Marshal(bson.M{"userId": id, "customSettings": bson.M{"a": settings}})
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, doc)
		}
		s.setProfiles(docs...)
		s.legacy.answer("/api/v1/users/8", raw("HTTP/1.1 500 Oops\r\ncontent-length: 4\r\n\r\noops"))
		s.legacy.answer("/api/v1/users/9", raw("HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"))
		for i := range 6 {
			for _, failed := range []string{"8", "9"} {
				got := s.get(t, "/api/v1/users/"+failed)
				if !strings.HasPrefix(got.body, `{"core":null,"extension":{"userId":`) || !strings.Contains(got.body, settings) {
					t.Errorf("%d KiB without a core: %d %.100s", kib, got.status, got.body)
				}
			}
			got := s.get(t, "/api/v1/users/7")
			if !strings.HasPrefix(got.body, `{"core":`+coreUser7) || got.status != http.StatusOK {
				t.Errorf("%d KiB: %d %.100s", kib, got.status, got.body)
			}
			if whole := strings.Contains(got.body, settings); whole != (i > 0 || kib < 1088) {
				t.Errorf("%d KiB, answer %d: %s, %d bytes", kib, i, got.header.Get("x-weft"), len(got.body))
			}
		}
	}
}
