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

// pageRun is a running demo with a page.
type pageRun struct {
	*demoRun
	base string // URL of Envoy
}

func startPage(t *testing.T, bin string, variables []string) pageRun {
	t.Helper()
	dir := t.TempDir()
	html := []byte("<!doctype html><title>woven</title>")
	if err := os.WriteFile(filepath.Join(dir, "index.html"), html, 0o644); err != nil {
		t.Fatal(err)
	}
	run := start(t, bin, variables, "-page", dir)
	port, _ := strings.CutPrefix(variables[3], "PORT=")
	return pageRun{run, "http://127.0.0.1:" + port}
}

// send sends a request and returns the status and the body. headers are pairs of name and value.
func (p pageRun) send(t *testing.T, method, path string, headers ...string) (int, string) {
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

// eventually sends GET requests until the body contains want, because Envoy and weft notice changes after a while.
func (p pageRun) eventually(t *testing.T, path, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, body := p.send(t, http.MethodGet, path)
		if strings.Contains(body, want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %s\nwant %s", path, body, want)
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
	if status, body := run.send(t, http.MethodGet, "/"); status != 200 || !strings.Contains(body, "woven") {
		t.Errorf("the page is %d %s", status, body)
	}
	if status, _ := run.send(t, http.MethodGet, "/../../demo/page_test.go"); status == 200 {
		t.Error("a file outside the page's directory is served")
	}

	const composite, noExtension = `"errors":[]}`, `"extension":null,"errors":["Failed to fetch extended user profile."]}`
	const path = "/api/v3/composite-profile/7"
	for _, step := range []struct{ name, verb, states, answer string }{
		{"mongod", "freeze", `{"mongod":"frozen","weft":"running"}`, noExtension},
		{"mongod", "freeze", `{"mongod":"frozen","weft":"running"}`, noExtension}, // no change
		{"mongod", "run", `{"mongod":"running","weft":"running"}`, composite},
		{"mongod", "stop", `{"mongod":"stopped","weft":"running"}`, noExtension},
		{"mongod", "freeze", `{"mongod":"frozen","weft":"running"}`, noExtension}, // starts it first
		{"mongod", "stop", `{"mongod":"stopped","weft":"running"}`, noExtension},
		{"weft", "kill", `{"mongod":"stopped","weft":"stopped"}`, noExtension},
		{"weft", "run", `{"mongod":"stopped","weft":"running"}`, noExtension},
		{"mongod", "run", `{"mongod":"running","weft":"running"}`, composite},
	} {
		status, body := run.send(t, http.MethodPost, "/demo/processes/"+step.name+"/"+step.verb, "Origin", run.base)
		states := strings.Replace(step.states, "{", `{"caches":"off","legacy":"running",`, 1)
		if status != 200 || strings.TrimSpace(body) != states {
			t.Fatalf("%s %s: %d %s\nwant %s", step.verb, step.name, status, body, states)
		}
		run.eventually(t, path, step.answer)
	}

	for _, rejected := range []struct {
		method, path string
		headers      []string
		status       int
	}{
		{"POST", "/demo/processes/weft/kill", []string{"Origin", "http://evil.example"}, 403},
		{"POST", "/demo/processes/weft/kill", []string{"Origin", "null"}, 403},
		{"POST", "/demo/processes/weft/kill", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"POST", "/demo/processes/weft/kill", []string{"Sec-Fetch-Site", "same-site"}, 403}, // another port
		{"GET", "/demo/processes", []string{"Host", "localhost.evil.example"}, 403},
		{"GET", "/demo/processes", []string{"Host", "127.0.0.1.evil.example"}, 403},
		{"POST", "/demo/processes/weft/kill", []string{"Host", "evil.example", "Origin", "http://evil.example"}, 403},
		{"GET", "/demo/processes", []string{"Host", "evil.example"}, 403},
		{"GET", "/demo/processes/weft/kill", nil, 405},
		{"POST", "/demo/processes/envoy/kill", nil, 404},
		{"POST", "/demo/processes/weft/burn", nil, 400},
		{"POST", "/demo/processes/legacy/kill", nil, 400},
		{"POST", "/demo/processes/caches/run", nil, 400},
		{"POST", "/demo/documents/7", []string{"Origin", "http://evil.example"}, 403},
		{"POST", "/demo/documents/seven", nil, 404},
		{"GET", "/demo/documents/7", nil, 405},
	} {
		status, body := run.send(t, rejected.method, rejected.path, rejected.headers...)
		if status != rejected.status {
			t.Errorf("%s %s with %q: %d %s, want %d",
				rejected.method, rejected.path, rejected.headers, status, body, rejected.status)
		}
	}

	checkSelection(t, run)
	checkCaches(t, run)
	checkRaw(t, run)
	checkRawID(t, run)
	checkRawWhole(t, run)

	// A frozen and a stopped child do not prevent a clean stop.
	run.send(t, http.MethodPost, "/demo/processes/mongod/freeze")
	run.send(t, http.MethodPost, "/demo/processes/weft/kill")
	if code, rest := run.end(t, os.Interrupt); code != 0 {
		t.Errorf("exit status %d after Ctrl-C, want 0: %s", code, rest)
	}
	checkGone(t, run.pids(t))
}

// checkSelection checks that the page can select members.
func checkSelection(t *testing.T, run pageRun) {
	t.Helper()
	const selected = `{"core":{"username":"user7"},"extension":{"tags":["vip"]},"errors":[]}`
	const path = "/api/v3/composite-profile/7?fields=core.username,extension."
	if status, body := run.send(t, http.MethodGet, path+"tags"); status != 200 || body != selected {
		t.Errorf("the selection is %d %s\nwant %s", status, body, selected)
	}
	status, body := run.send(t, http.MethodGet, path+"mood")
	if status != 400 || !strings.Contains(body, `"unknown":["extension.mood"]`) {
		t.Errorf("a selection of an unknown member: %d %s", status, body)
	}
}

// checkCaches checks that the page can switch caches, write to MongoDB and make the legacy service fail.
func checkCaches(t *testing.T, run pageRun) {
	t.Helper()
	const path = "/api/v3/composite-profile/9"
	post := func(path, want string) {
		t.Helper()
		status, body := run.send(t, http.MethodPost, path, "Origin", run.base)
		if status != 200 || !strings.Contains(body, want) {
			t.Fatalf("POST %s: %d %s, want %s", path, status, body, want)
		}
	}
	post("/demo/processes/caches/on", `"caches":"on"`)
	for _, score := range []string{"34.3", "35.3", "36.3"} {
		post("/demo/documents/9", score)
		run.eventually(t, path, `"lastActivityScore":`+score) // once the change stream has reported it
	}
	const whole = `{"core":{"userId":9,"username":"user9","email":"user9@example.com","createdAt":"` +
		`2020-03-01T14:34:56.789+00:00"},"extension":{"userId":9,"tags":["trial"],"lastActivityScore":36.3,` +
		`"customSettings":{"theme":"dark"}},"errors":[]}`
	run.eventually(t, path, whole)
	post("/demo/processes/mongod/freeze", `"mongod":"frozen"`)
	post("/demo/processes/legacy/fail", `"legacy":"failing"`)
	for range 5 {
		if status, body := run.send(t, http.MethodGet, path); status != 200 || body != whole {
			t.Errorf("while both fail: %d %s", status, body)
		}
	}
	post("/demo/processes/legacy/run", `"legacy":"running"`)
	post("/demo/processes/mongod/run", `"mongod":"running"`)
	post("/demo/processes/caches/off", `"caches":"off"`)

	post("/demo/processes/legacy/fail", `"legacy":"failing"`)
	run.eventually(t, path, `"errors":["Failed to fetch core user profile."]}`)
	post("/demo/processes/legacy/run", `"legacy":"running"`)
	run.eventually(t, path, `"errors":[]}`)
}

// checkRaw checks that the page gets the legacy service's own responses, including broken ones.
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
		_, body := run.send(t, http.MethodGet, "/demo/legacy/7?fault="+c.fault)
		var answer rawAnswer
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %v: %s", c.fault, err, body)
		}
		header := ""
		for _, pair := range answer.Headers {
			header += pair[1] + "\n"
		}
		if answer.Status != c.status || answer.Error != c.failure ||
			!strings.Contains(answer.Body, c.body) || !strings.Contains(header, c.header) {
			t.Errorf("%s: %s\nwant %+v", c.fault, body, c)
		}
		if len(answer.Body) > shown || (c.fault == "5mb") != (answer.Bytes > 5<<20) {
			t.Errorf("%s: %d bytes, %d of them shown", c.fault, answer.Bytes, len(answer.Body))
		}
	}
}

// checkRawID checks that an ID cannot change the path of the request to the legacy service.
func checkRawID(t *testing.T, run pageRun) {
	t.Helper()
	for _, id := range []string{"a%2Fb", "a%2F..%2F7", "7%3Fx", "%25"} {
		_, body := run.send(t, http.MethodGet, "/demo/legacy/"+id)
		var answer rawAnswer
		if err := json.Unmarshal([]byte(body), &answer); err != nil {
			t.Fatalf("%s: %v: %s", id, err, body)
		}
		if answer.Status != 400 || !strings.Contains(answer.Body, `"path":"/api/v1/users/`+id+`"`) {
			t.Errorf("%s\nwant the legacy service's 400 for %s", body, id)
		}
	}
}

// checkRawWhole checks that the page gets a body whole if weft composes it.
func checkRawWhole(t *testing.T, run pageRun) {
	t.Helper()
	_, body := run.send(t, http.MethodGet, "/demo/legacy/7?fault=200kb")
	var answer rawAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	_, composite := run.send(t, http.MethodGet, "/api/v3/composite-profile/7?fault=200kb")
	if answer.Bytes < 200<<10 || int(answer.Bytes) != len(answer.Body) ||
		!strings.HasPrefix(composite, `{"core":`+answer.Body+`,"extension":`) {
		t.Errorf("%d of %d bytes shown, the composite has %d", len(answer.Body), answer.Bytes, len(composite))
	}
}

// TestChangeContinuesWithoutPage: a change continues if the page disconnects, and ends with the demo.
func TestChangeContinuesWithoutPage(t *testing.T) {
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
	weft.setProcess(first)
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
		t.Errorf("after the page disconnected during the start, weft is %s", state)
	}
	during = end // the demo itself ends
	post(t.Context(), "kill")
	if status := post(t.Context(), "run"); status != http.StatusInternalServerError {
		t.Errorf("a start while the demo ends: %d", status)
	}
	if _, state := weft.now(); state != stopped {
		t.Errorf("after the demo has ended, weft is %s", state)
	}
}

// TestNoPage: "make run" has no page and no control endpoint, and mentions "make demo".
func TestNoPage(t *testing.T) {
	bin, variables := build(t), environment(t)
	run := start(t, bin, variables)
	port, _ := strings.CutPrefix(variables[3], "PORT=")
	plain := pageRun{run, "http://127.0.0.1:" + port}
	for _, path := range []string{"/", "/demo/processes", "/demo/legacy/7"} {
		if status, body := plain.send(t, http.MethodGet, path); status != 404 {
			t.Errorf("%s: %d %s, want the legacy service's 404", path, status, body)
		}
	}
	if status, _ := plain.send(t, http.MethodPost, "/demo/processes/weft/kill"); status != 404 {
		t.Errorf("POST without a page: %d", status)
	}
	if code, _ := run.end(t, os.Interrupt); code != 0 || !strings.Contains(run.output, `"make demo", which needs npm`) {
		t.Errorf("exit status %d:\n%s", code, run.output)
	}
}

func TestUsePage(t *testing.T) {
	dir := t.TempDir()
	c := config{legacyPort: 8081}
	if err := c.usePage(dir); err == nil || !strings.Contains(err.Error(), "index.html") {
		t.Errorf("an empty directory: %v", err)
	}
	if err := (&config{}).usePage(dir); err == nil || !strings.HasPrefix(err.Error(), "LEGACY: ") {
		t.Errorf("with LEGACY: %v", err)
	}
	if err := c.usePage(""); err != nil || c.page != "" {
		t.Errorf("no page: %v", err)
	}
}
