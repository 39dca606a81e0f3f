package envoy_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"weft/test/harness"
)

// TestMongoDBDown starts weft while MongoDB is down. The extension is null until MongoDB is up, without a restart of
// weft.
func TestMongoDBDown(t *testing.T) {
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	options := harness.MongodOptions{Dir: t.TempDir(), Port: port}
	// The message timeout, less a tenth, is what weft waits for MongoDB.
	s := startSystem(t, systemOptions{mongodbURI: fmt.Sprintf("mongodb://127.0.0.1:%d", port), message: 2 * time.Second})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))

	whole := "200\nx-weft: composed\n\n" + compositeUser7
	degraded := "200\nx-weft: degraded; reason=extension-timeout\n\n" + degradedUser7
	checkAnswer(t, degraded, "", s.get(t, "/api/v1/users/7"))

	// Twice: MongoDB starts after weft, and it ends while there are connections.
	for range 2 {
		server, err := harness.StartMongod(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = server.Kill() })
		harness.Eventually(t, "an answer is a composite again", func() bool {
			return strings.Contains(s.get(t, "/api/v1/users/7").Header.Get("x-weft"), "composed")
		})
		checkAnswer(t, whole, "", s.get(t, "/api/v1/users/7"))

		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		got := s.get(t, "/api/v1/users/7")
		// A connection that breaks is an error immediately, one that cannot be opened a timeout.
		got.Header.Set("x-weft", strings.ReplaceAll(got.Header.Get("x-weft"), "extension-failed", "extension-timeout"))
		checkAnswer(t, degraded, "", got)
	}
}

// TestMongoDBFrozen freezes MongoDB, to which there are connections, and sends 200 requests at once. Each gets a
// composite without the extension. When MongoDB continues, answers are composites again.
func TestMongoDBFrozen(t *testing.T) {
	server, err := harness.StartMongod(t.Context(), harness.MongodOptions{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Kill() })
	s := startSystem(t, systemOptions{mongodbURI: server.URI(), message: 3 * time.Second})
	s.legacy.answer("/api/v1/users/7", raw(legacyUser7))
	whole := func() bool { return s.get(t, "/api/v1/users/7").Header.Get("x-weft") == "composed" }
	harness.Eventually(t, "an answer is a composite", whole)

	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Signal(syscall.SIGCONT) })
	var clients sync.WaitGroup
	for range 200 {
		clients.Go(func() {
			got, err := try(http1, s.newRequest(t, http.MethodGet, "/api/v1/users/7"))
			if err != nil || got.Status != http.StatusOK || got.Body != degradedUser7 {
				t.Errorf("%v, %d %q", err, got.Status, got.Body)
			}
		})
	}
	clients.Wait()

	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, "an answer is a composite again", whole)
	s.checkIdle(t)
}
