package envoy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"weft/enrich"
)

// TestLargeCoresInConstantMemory streams 20 cores of 20 MB at once. Weft, the legacy service and the clients, all in this
// process, never hold as much as a quarter of what passes.
func TestLargeCoresInConstantMemory(t *testing.T) {
	const clients, chunks, chunkSize = 20, 320, 64 << 10
	rules := enrich.UserProfile()
	for _, r := range rules {
		r.Large = enrich.StreamLarge
	}
	s := startSystem(t, systemOptions{rules: rules, timeout: eventuallyTimeout})
	var peak atomic.Uint64
	chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", chunkSize, strings.Repeat("x", chunkSize)))
	s.legacy.answer("/api/v1/users/7", func(c net.Conn, r *http.Request) bool {
		head := strings.TrimSuffix(coreUser7, "}") + `,"padding":"`
		if !raw(fmt.Sprintf("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(head), head))(c, r) {
			return false
		}
		for i := range chunks {
			if _, err := c.Write(chunk); err != nil {
				return false
			}
			if i%16 == 0 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapInuse)) // a peak that is lost in a race is seen a little later
			}
		}
		return raw("2\r\n\"}\r\n0\r\n\r\n")(c, r)
	})
	var asking sync.WaitGroup
	for range clients {
		asking.Go(func() {
			resp, err := http.Get(s.url + "/api/v1/users/7")
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			n, err := io.Copy(io.Discard, resp.Body)
			if err != nil || n < chunks*chunkSize {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	asking.Wait()
	http.DefaultClient.CloseIdleConnections()
	const passed = clients * chunks * chunkSize
	t.Logf("%d MB passed, the heap was never over %d MB", passed>>20, peak.Load()>>20)
	if peak.Load() > passed/4 {
		t.Errorf("the heap grew to %d bytes", peak.Load())
	}
}
