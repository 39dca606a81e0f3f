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
	megabytes = flag.Int("megabytes", 40, "size of each core")
)

// TestStreamedCoresInConstantMemory streams 20 cores of 40 MB at once. The heap of this process, which is weft, the
// legacy service and the clients, stays below a quarter of the bytes that pass. The test logs the peaks of memory.
func TestStreamedCoresInConstantMemory(t *testing.T) {
	rules := rulesfile.Builtin().Rules
	for _, r := range rules {
		r.StreamLarge = true
	}
	s := startSystem(t, systemOptions{rules: rules, timeout: 5 * time.Minute})
	heap, passed := streamCores(t, s, *streams, *megabytes)
	t.Logf("%d MB passed; weft, clients and legacy service: heap up to %d MB, resident up to %d MB; Envoy: %d MB",
		passed>>20, heap>>20, resident(t, os.Getpid())>>20, resident(t, s.Envoy.Pid())>>20)
	if heap > passed/4 {
		t.Errorf("the heap grew to %d bytes", heap)
	}
}

// streamCores streams a core of some megabytes to each of several clients at once. It returns the peak of this
// process's heap, and the number of bytes of all cores.
func streamCores(t *testing.T, s *system, clients, megabytes int) (heap, passed int) {
	t.Helper()
	const chunkSize = 64 << 10
	chunks := megabytes << 20 / chunkSize
	runtime.GC() // of what other tests have left
	runtime.GC() // of their pools
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
	return int(peak.Load()), clients * chunks * chunkSize
}

// resident returns the peak of the resident memory of a process in bytes (proc_pid_status(5), VmHWM).
func resident(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
