package envoy_test

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"weft/internal/rulesfile"
)

var (
	streams   = flag.Int("streams", 20, "number of cores that TestStreamedCoresInConstantMemory streams at once")
	megabytes = flag.Int("megabytes", 20, "size of each core")
)

// TestStreamedCoresInConstantMemory streams 20 cores of 20 MB at once. The heap of this process, which is weft, the
// legacy service and the clients, stays below a quarter of the bytes that pass. The test logs the peaks of memory.
func TestStreamedCoresInConstantMemory(t *testing.T) {
	const chunkSize = 64 << 10
	clients, chunks := *streams, *megabytes<<20/chunkSize
	rules := rulesfile.Builtin().Rules
	for _, r := range rules {
		r.StreamLarge = true
	}
	s := startSystem(t, systemOptions{rules: rules, timeout: 5 * time.Minute})
	runtime.GC() // of what other tests have left
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
				peak.Store(max(peak.Load(), m.HeapInuse)) // racy, but a peak that is lost is read again
			}
		}
		return raw("2\r\n\"}\r\n0\r\n\r\n")(c, r)
	})
	var clientsDone sync.WaitGroup
	for range clients {
		clientsDone.Go(func() {
			resp, err := http.Get(s.URL + "/api/v1/users/7")
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = resp.Body.Close() }()
			n, err := io.Copy(io.Discard, resp.Body)
			if err != nil || n < int64(chunks)*chunkSize {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
	clientsDone.Wait()
	http.DefaultClient.CloseIdleConnections()
	passed := clients * chunks * chunkSize
	t.Logf("%d MB passed in %d streams; weft, clients and legacy service: heap up to %d MB, resident up to %s; Envoy: %s",
		passed>>20, clients, peak.Load()>>20, resident(t, os.Getpid()), resident(t, s.Envoy.Pid()))
	if peak.Load() > uint64(passed)/4 {
		t.Errorf("the heap grew to %d bytes", peak.Load())
	}
}

// resident returns the peak of the resident memory of a process (proc_pid_status(5), VmHWM).
func resident(t *testing.T, pid int) string {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}
