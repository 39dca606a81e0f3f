package operations_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"weft/test/harness"
)

// TestMaxStreams: when a connection has --max-streams streams, Envoy opens another one. All responses are composed.
func TestMaxStreams(t *testing.T) {
	s := startSystem(t)
	startWeft(t, s, "--max-streams", "2")
	startEnvoy(t, s, "--weft-max-streams", "2")
	stopLoad := startLoad(t, s, 8)
	harness.Eventually(t, "there are several connections", func() bool {
		return t.Failed() || stat(t, s, "cluster.weft.upstream_cx_active") >= 4
	})
	stopLoad()
}

// TestMaxMessageBytes: if a body exceeds --max-message-bytes, the legacy response passes.
func TestMaxMessageBytes(t *testing.T) {
	s := startSystem(t)
	admin := freeAddr(t)
	startWeft(t, s, "--max-message-bytes", "2000", "--admin", admin)
	startEnvoy(t, s)
	large := strings.Replace(harness.NewUser(7).Core, "user7@", strings.Repeat("x", 2000)+"@", 1)
	s.Legacy.Handle(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, large) }))
	if got := get(t, s); got.Status != http.StatusOK || got.Body != large {
		t.Error(got)
	}
	const want = `reason="core-too-large"`
	harness.Eventually(t, "the metric has "+want, func() bool {
		return strings.Contains(page(t, admin+"/metrics"), want)
	})
}
