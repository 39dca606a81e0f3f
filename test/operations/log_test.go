package operations_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"weft/test/harness"
)

// TestLogJSON: each line is a JSON object. That of an exchange has the ids of the request and of the trace, and nothing
// of the user.
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
			t.Errorf("the log has the user's id: %s", text)
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
