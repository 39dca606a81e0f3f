package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"weft/test/harness"
)

// pageRun is a runner with a page, and where its Envoy is.
type pageRun struct {
	*demoRun
	base string
}

func startPage(t *testing.T, bin string, variables []string) pageRun {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "index.html"), []byte("<!doctype html><title>woven</title>"), 0o644); err != nil {
		t.Fatal(err)
	}
	run := start(t, bin, variables, "-page", folder)
	port, _ := strings.CutPrefix(variables[3], "PORT=")
	return pageRun{run, "http://127.0.0.1:" + port}
}

// ask returns the status and the body; headers are name, value, name, value.
func (p pageRun) ask(t *testing.T, method, path string, headers ...string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, p.base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
	}
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// eventually asks until the answer holds a text: what Envoy and weft notice of a process takes a moment.
func (p pageRun) eventually(t *testing.T, path, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, body := p.ask(t, http.MethodGet, path)
		if strings.Contains(body, want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s answers %s\nwant %s", path, body, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestPage(t *testing.T) {
	bin, variables := build(t), environment(t)
	run := startPage(t, bin, variables)
	if !strings.Contains(run.output, "  "+run.base+"/\n") || len(run.pids(t)) != 4 {
		t.Fatalf("want the URL of the page and four processes:\n%s", run.output)
	}
	if status, body := run.ask(t, http.MethodGet, "/"); status != 200 || !strings.Contains(body, "woven") {
		t.Errorf("the page is %d %s", status, body)
	}
	if status, _ := run.ask(t, http.MethodGet, "/../../demo/page_test.go"); status == 200 {
		t.Error("a file outside of the page's folder is served")
	}

	const whole, noExtension = `"errors":[]}`, `"extension":null,"errors":["Failed to fetch extended user profile."]}`
	const composite = "/api/v3/composite-profile/7"
	for _, step := range []struct{ name, verb, states, answer string }{
		{"mongod", "freeze", `{"mongod":"frozen","weft":"running"}`, noExtension},
		{"mongod", "freeze", `{"mongod":"frozen","weft":"running"}`, noExtension}, // twice is as good as once
		{"mongod", "run", `{"mongod":"running","weft":"running"}`, whole},
		{"mongod", "stop", `{"mongod":"stopped","weft":"running"}`, noExtension},
		{"mongod", "freeze", `{"mongod":"frozen","weft":"running"}`, noExtension}, // what is stopped is started for it
		{"mongod", "stop", `{"mongod":"stopped","weft":"running"}`, noExtension},
		{"weft", "kill", `{"mongod":"stopped","weft":"stopped"}`, noExtension},
		{"weft", "run", `{"mongod":"stopped","weft":"running"}`, noExtension},
		{"mongod", "run", `{"mongod":"running","weft":"running"}`, whole},
	} {
		status, body := run.ask(t, http.MethodPost, "/demo/processes/"+step.name+"/"+step.verb, "Origin", run.base)
		if status != 200 || strings.TrimSpace(body) != step.states {
			t.Fatalf("%s %s: %d %s\nwant %s", step.verb, step.name, status, body, step.states)
		}
		run.eventually(t, composite, step.answer)
	}

	for _, refused := range []struct {
		method, path string
		headers      []string
		status       int
	}{
		{"POST", "/demo/processes/weft/kill", []string{"Origin", "http://evil.example"}, 403},
		{"POST", "/demo/processes/weft/kill", []string{"Origin", "null"}, 403},
		{"POST", "/demo/processes/weft/kill", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", "/demo/processes/weft/kill", []string{"Sec-Fetch-Site", "same-site"}, 403}, // another port of this machine
		{"GET", "/demo/processes", []string{"Host", "localhost.evil.example"}, 403},
		{"GET", "/demo/processes", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"POST", "/demo/processes/weft/kill", []string{"Host", "evil.example", "Origin", "http://evil.example"}, 403},
		{"GET", "/demo/processes", []string{"Host", "evil.example"}, 403},
		{"GET", "/demo/processes/weft/kill", nil, 405},
		{"POST", "/demo/processes/envoy/kill", nil, 404},
		{"POST", "/demo/processes/weft/burn", nil, 400},
	} {
		if status, body := run.ask(t, refused.method, refused.path, refused.headers...); status != refused.status {
			t.Errorf("%s %s with %q: %d %s, want %d", refused.method, refused.path, refused.headers, status, body, refused.status)
		}
	}

	checkRaw(t, run)
	checkRawID(t, run)
	checkRawWhole(t, run)

	// A frozen and a stopped child do not keep the others from ending in order.
	run.ask(t, http.MethodPost, "/demo/processes/mongod/freeze")
	run.ask(t, http.MethodPost, "/demo/processes/weft/kill")
	if code, rest := run.end(t, os.Interrupt); code != 0 {
		t.Errorf("exit status %d after Ctrl-C, want 0: %s", code, rest)
	}
	checkGone(t, run.pids(t))
}

// checkRaw sees what the legacy service itself answers, broken as it is.
func checkRaw(t *testing.T, run pageRun) {
	t.Helper()
	for _, c := range []struct {
		fault, body, header, failure string
		status                       int
	}{
		{"", `{"userId":7,"username":"user7"`, "application/json", "", 200},
		{"500", `"error":"Internal Server Error"`, "application/json", "", 500},
		{"404", "", "0", "", 404},
		{"gzip", "1f 8b 08", "gzip", "", 200},
		{"5mb", `"padding":"xxx`, "application/json", "", 200},
		{"truncated", `{"userId":7`, "application/json", "", 200},
		{"reset", "", "", "connection reset by peer", 0},
		{"reset-body", `{"userId":7`, "application/json", "connection reset by peer", 200},
	} {
		_, body := run.ask(t, http.MethodGet, "/demo/legacy/7?fault="+c.fault)
		var answer rawAnswer
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %v: %s", c.fault, err, body)
		}
		header := ""
		for _, pair := range answer.Headers {
			header += pair[1] + "\n"
		}
		if answer.Status != c.status || !strings.Contains(answer.Body, c.body) || !strings.Contains(header, c.header) || answer.Error != c.failure {
			t.Errorf("%s: %s\nwant %+v", c.fault, body, c)
		}
		if len(answer.Body) > shown || (c.fault == "5mb") != (answer.Bytes > 5<<20) {
			t.Errorf("%s: %d bytes, of which %d are shown", c.fault, answer.Bytes, len(answer.Body))
		}
	}
}

// checkRawID finds that the legacy service is asked for the id that the page says, and for no other path.
func checkRawID(t *testing.T, run pageRun) {
	t.Helper()
	for _, id := range []string{"a%2Fb", "a%2F..%2F7", "7%3Fx", "%25"} {
		_, body := run.ask(t, http.MethodGet, "/demo/legacy/"+id)
		var answer rawAnswer
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %v: %s", id, err, body)
		}
		if answer.Status != 400 || !strings.Contains(answer.Body, `"path":"/api/v1/users/`+id+`"`) {
			t.Errorf("%s\nwant the legacy service's 400 for %s", body, id)
		}
	}
}

// checkRawWhole finds that an answer that is no small one, and is composed, is there to the last byte.
func checkRawWhole(t *testing.T, run pageRun) {
	t.Helper()
	_, body := run.ask(t, http.MethodGet, "/demo/legacy/7?fault=200kb")
	var answer rawAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	_, composite := run.ask(t, http.MethodGet, "/api/v3/composite-profile/7?fault=200kb")
	if answer.Bytes < 200<<10 || int(answer.Bytes) != len(answer.Body) || !strings.HasPrefix(composite, `{"core":`+answer.Body+`,"extension":`) {
		t.Errorf("%d of %d bytes are shown, and the composite has %d", len(answer.Body), answer.Bytes, len(composite))
	}
}

// TestChangeOutlivesItsPage: who presses a button and closes the page has pressed it.
func TestChangeOutlivesItsPage(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	start := func() (*harness.Process, error) {
		return harness.Start(t.Context(), harness.Command{Name: "weft", Path: sleep, Args: []string{"60"}, Log: log})
	}
	first, err := start()
	if err != nil {
		t.Fatal(err)
	}
	weft := &child{died: make(chan *harness.Process, 1)}
	weft.began(first)
	defer func() { _ = weft.do(context.Background(), "kill") }()

	page, leave := context.WithCancel(t.Context())
	serving, end := context.WithCancel(t.Context())
	during := leave
	weft.launch = func(ctx context.Context) (*harness.Process, error) {
		during()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return start()
	}
	control := (&runner{children: []*child{weft}}).control(serving)
	post := func(ctx context.Context, verb string) int {
		answer := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/demo/processes/weft/"+verb, nil)
		control.ServeHTTP(answer, request)
		return answer.Code
	}
	post(page, "kill")
	post(page, "run")
	if _, state := weft.now(); state != running || page.Err() == nil {
		t.Errorf("the page has gone while weft started, and weft is %s", state)
	}
	during = end // the demo itself ends
	post(t.Context(), "kill")
	if status := post(t.Context(), "run"); status != http.StatusInternalServerError {
		t.Errorf("a start while the demo ends: %d", status)
	}
	if _, state := weft.now(); state != stopped {
		t.Errorf("the demo has ended, and weft is %s", state)
	}
}

// TestNoPage shows that "make run" has neither page nor control endpoint, and says where they are.
func TestNoPage(t *testing.T) {
	bin, variables := build(t), environment(t)
	run := start(t, bin, variables)
	port, _ := strings.CutPrefix(variables[3], "PORT=")
	plain := pageRun{run, "http://127.0.0.1:" + port}
	for _, path := range []string{"/", "/demo/processes", "/demo/legacy/7"} {
		if status, body := plain.ask(t, http.MethodGet, path); status != 404 {
			t.Errorf("%s: %d %s, want the legacy service's 404", path, status, body)
		}
	}
	if status, _ := plain.ask(t, http.MethodPost, "/demo/processes/weft/kill"); status != 404 {
		t.Errorf("POST without a page: %d", status)
	}
	if code, _ := run.end(t, os.Interrupt); code != 0 || !strings.Contains(run.output, `"make demo", which needs npm`) {
		t.Errorf("exit status %d:\n%s", code, run.output)
	}
}

func TestUsePage(t *testing.T) {
	folder := t.TempDir()
	c := config{legacyPort: 8081}
	if err := c.usePage(folder); err == nil || !strings.Contains(err.Error(), "index.html") {
		t.Errorf("an empty folder: %v", err)
	}
	if err := (&config{}).usePage(folder); err == nil || !strings.HasPrefix(err.Error(), "LEGACY: ") {
		t.Errorf("a legacy service of the user's own: %v", err)
	}
	if err := c.usePage(""); err != nil || c.page != "" {
		t.Errorf("no page: %v", err)
	}
}
