package operations_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"weft/test/harness"
)

// TestLogJSON: each line is a JSON object. The line of an exchange has the IDs of its request and trace, and no user
// data.
func TestLogJSON(t *testing.T) {
	const id = "8675309"
	s := newSystem(t)
	weft := startWeft(t, s, "--log-format", "json", "--log-level", "debug", "--budget", "1ms")
	const trace = "0af7651916cd43dd8448eb211c80319c"
	const traceParent = "00-" + trace + "-b7ad6b7169203331-01"
	exchange(t, dial(t, s.Socket), "request-1", traceParent, "/api/v1/users/"+id, "200", "via_upstream",
		`{"userId":`+id+`,"username":7,"secret":"`+id+`"}`)
	harness.ExpectLog(t, weft, `"msg":"exchange"`)
	log, err := os.ReadFile(weft.Log())
	if err != nil {
		t.Fatal(err)
	}
	var line map[string]any // of the exchange
	for text := range strings.Lines(string(log)) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			t.Errorf("%v: %s", err, text)
		}
		if fields["msg"] == "exchange" {
			line = fields
		}
		if strings.Contains(text, id) {
			t.Errorf("the log contains the user's ID: %s", text)
		}
	}
	for name, want := range map[string]any{
		"request_id": "request-1", "trace_id": trace, "rule": "user", "reason": "core-invalid",
	} {
		if line[name] != want {
			t.Errorf("%s: %v, want %v", name, line[name], want)
		}
	}
}

// TestBlockedStderr: while stderr is a full pipe that nobody reads, all responses are composed and weft can stop.
func TestBlockedStderr(t *testing.T) {
	s := startSystem(t)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	weft := startCommand(t, s, harness.Command{
		Args: []string{
			"serve", "--listen", s.Socket, "--mongodb-uri", s.Mongod.URI(), "--admin", "", "--drain-window", "0",
			"--log-level", "debug",
		},
		Prepare: func(cmd *exec.Cmd) { cmd.Stderr = writer },
		Ready:   harness.Listening("unix", strings.TrimPrefix(s.Socket, "unix:")),
	})
	if err := writer.Close(); err != nil { // weft has its own copy
		t.Fatal(err)
	}
	startEnvoy(t, s)
	stopLoad := startLoad(t, s, 8)
	// A pipe buffers 64 KiB, a line has more than 100 bytes.
	harness.Eventually(t, "2000 exchanges have ended", func() bool {
		return t.Failed() || stat(t, s, "http.main.ext_proc.streams_closed") > 2000
	})
	stopLoad()
	if err := errors.Join(weft.Stop(30*time.Second), weft.Err()); err != nil {
		t.Errorf("weft does not stop: %v", err)
	}
	log, err := io.ReadAll(reader)
	if err != nil || len(log) < 60_000 {
		t.Errorf("the pipe was not full: it has %d bytes, %v", len(log), err)
	}
}
