package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"weft/test/harness"
)

// build builds the three programs as the Makefile does.
func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	for dir, arguments := range map[string][]string{
		"../..":     {"build", "-o", bin + "/", ".", "./examples/demo"},
		"../legacy": {"build", "-o", bin + "/", "."},
	} {
		command := exec.CommandContext(t.Context(), "go", arguments...)
		command.Dir = dir
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(arguments, " "), err, output)
		}
	}
	return bin
}

// demoRun is a running demo.
type demoRun struct {
	cmd    *exec.Cmd
	output string      // up to the last line of the guide
	rest   chan string // gets the output after that
}

func start(t *testing.T, bin string, environment []string, arguments ...string) *demoRun {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	t.Cleanup(cancel) // kills the demo if the test fails
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "demo"), append([]string{
		"-weft", filepath.Join(bin, "weft"), "-legacy", filepath.Join(bin, "legacy"),
	}, arguments...)...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Dir = "." // in the repository, which has .tools
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	run := &demoRun{cmd: cmd, rest: make(chan string, 1)}
	lines := bufio.NewScanner(pipe)
	for lines.Scan() {
		run.output += lines.Text() + "\n"
		if strings.HasPrefix(lines.Text(), "Ctrl-C stops") {
			break
		}
	}
	go func() {
		var rest strings.Builder
		for lines.Scan() {
			rest.WriteString(lines.Text() + "\n")
		}
		run.rest <- rest.String()
	}()
	return run
}

// end sends a signal and returns the exit status and the output after the guide.
func (r *demoRun) end(t *testing.T, signal os.Signal) (int, string) {
	t.Helper()
	if err := r.cmd.Process.Signal(signal); err != nil {
		t.Fatalf("%v\n%s", err, r.output)
	}
	rest := <-r.rest
	err := r.cmd.Wait()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode(), rest
}

// pids returns the processes in the guide.
func (r *demoRun) pids(t *testing.T) map[string]int {
	t.Helper()
	found := make(map[string]int)
	row := regexp.MustCompile(`(?m)^ +(mongod|legacy|weft|envoy) +(\d+) `)
	for _, match := range row.FindAllStringSubmatch(r.output, -1) {
		pid, err := strconv.Atoi(match[2])
		if err != nil {
			t.Fatal(err)
		}
		found[match[1]] = pid
	}
	return found
}

// checkGone checks that processes have ended. It waits up to five seconds.
func checkGone(t *testing.T, pids map[string]int) {
	t.Helper()
	for name, pid := range pids {
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil || strings.Contains(string(stat), ") Z ") {
				break
			}
			if time.Now().After(end) {
				t.Errorf("%s (pid %d) still exists", name, pid)
				break
			}
		}
	}
}

// environment returns environment variables with free ports and a new data directory.
func environment(t *testing.T) []string {
	t.Helper()
	variables := []string{"DATA=" + filepath.Join(t.TempDir(), "a data directory"), "LEGACY=", "MONGODB_URI="}
	for _, name := range []string{"PORT", "ADMIN_PORT", "WEFT_ADMIN_PORT", "LEGACY_PORT", "MONGODB_PORT"} {
		port, err := harness.FreePort()
		if err != nil {
			t.Fatal(err)
		}
		variables = append(variables, fmt.Sprintf("%s=%d", name, port))
	}
	return variables
}

func shell(t *testing.T, line string) string {
	t.Helper()
	output, err := exec.CommandContext(t.Context(), "sh", "-c", line).Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return string(output)
}

func TestDemo(t *testing.T) {
	bin, variables := build(t), environment(t)
	run := start(t, bin, variables)
	curls := regexp.MustCompile(`(?m)^ +(curl .*)$`).FindAllStringSubmatch(run.output, -1)
	if len(curls) != 3 || len(run.pids(t)) != 4 {
		code, rest := run.end(t, os.Interrupt)
		t.Fatalf("want three curl lines and four processes:\n%s%s(exit status %d)", run.output, rest, code)
	}
	const core = `{"userId":7,"username":"user7","email":"user7@example.com","createdAt":"2020-02-29T12:34:56.789+00:00"}`
	const composite = `{"core":` + core + `,"extension":{"userId":7,"tags":["vip"],"lastActivityScore":25.9,` +
		`"customSettings":{"theme":"dark"}},"errors":[]}`
	for i, want := range []string{core, core[:len(core)-1], composite} {
		compact := strings.NewReplacer(": ", ":", ", ", ",").Replace
		if answer := shell(t, curls[i][1]); !strings.Contains(compact(answer), want) {
			t.Errorf("%s\n got %s\nwant %s", curls[i][1], answer, want)
		}
	}
	checkMetrics(t, run.output)
	checkOddUsers(t, strings.Replace(curls[2][1], "curl -i", "curl -s", 1))

	second := start(t, bin, variables)
	if code := exitCode(t, second); code != 1 || !isLineWith(second.output, `another "make run"`) {
		t.Errorf("a second run in the same directory: exit status %d\n%s", code, second.output)
	}
	other := append(append([]string{}, variables...), "DATA="+t.TempDir())
	busy := start(t, bin, other)
	port, _ := strings.CutPrefix(variables[3], "PORT=")
	if code := exitCode(t, busy); code != 1 || !isLineWith(busy.output, "PORT: port "+port+" is in use") {
		t.Errorf("a busy port: exit status %d\n%s", code, busy.output)
	}

	if code, rest := run.end(t, os.Interrupt); code != 0 {
		t.Errorf("exit status %d after Ctrl-C, want 0: %s", code, rest)
	}
	checkGone(t, run.pids(t))

	killed := start(t, bin, variables)
	killed.end(t, os.Kill)
	checkGone(t, killed.pids(t))

	again := start(t, bin, variables)
	if len(again.pids(t)) != 4 {
		t.Errorf("after a killed run:\n%s", again.output)
	}
	if err := syscall.Kill(again.pids(t)["legacy"], syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	rest := <-again.rest
	code := exitCode(t, again)
	if code != 1 || !strings.Contains(rest, "legacy") || !strings.Contains(rest, "signal: killed") {
		t.Errorf("after the death of a child: exit status %d, want 1 and its name: %s", code, rest)
	}
	checkGone(t, again.pids(t))
}

// isLineWith reports whether output is one line that contains text.
func isLineWith(output, text string) bool {
	return strings.Count(output, "\n") == 1 && strings.Contains(output, text)
}

// checkMetrics checks the metrics pages in the guide after three requests, two of them through weft.
func checkMetrics(t *testing.T, guide string) {
	t.Helper()
	urls := regexp.MustCompile(`http://\S+/(?:metrics|prometheus|readyz)`).FindAllString(guide, -1)
	wants := []string{
		`weft_exchanges_total{also="",disposition="composed",reason="",rule="user"} 1`,
		`envoy_cluster_upstream_rq_completed{envoy_cluster_name="legacy"} 2`,
		"ok\n",
	}
	if len(urls) != len(wants) {
		t.Fatalf("the guide has %q, want weft's metrics, Envoy's and weft's health", urls)
	}
	for i, want := range wants {
		if answer := shell(t, "curl -s "+urls[i]); !strings.Contains(answer, want) {
			t.Errorf("%s has no %q:\n%s", urls[i], want, answer)
		}
	}
}

// checkOddUsers requests users on the composite route, with a curl command for user 7.
func checkOddUsers(t *testing.T, curl string) {
	t.Helper()
	getUser := func(user string) string {
		answer := shell(t, strings.Replace(curl, "profile/7", "profile/"+user, 1))
		return strings.NewReplacer(": ", ":", ", ", ",").Replace(answer)
	}
	const failed = `"extension":null,"errors":["Failed to fetch extended user profile."]}`
	for user, want := range map[string]string{
		"13":           `"extension":{"userId":13,"tags":[],"lastActivityScore":0.0,"customSettings":{}},"errors":[]}`,
		"17":           failed,
		"18":           failed,
		"19":           `"tags":["größe","织","🧵"]`,
		"20":           `"lastActivityScore":3.5`,
		"21":           `"big":9007199254740993,"since":"2020-02-29T12:34:56.789Z","ref":"5f1d7a2b3c4d5e6f708192a3"`,
		"22":           failed,
		"23":           `"extension":{"userId":23,`,
		"1001":         `{"core":null,"extension":{"userId":1001,`,
		"7?fault=500":  `{"core":null,"extension":{"userId":7,`,
		"17?fault=500": `{"detail":"All upstream services are unavailable."}`,
	} {
		if answer := getUser(user); !strings.Contains(answer, want) {
			t.Errorf("user %s: %s\nwant %s", user, answer, want)
		}
	}
}

// exitCode waits for the end of a demo and returns its exit status.
func exitCode(t *testing.T, run *demoRun) int {
	t.Helper()
	err := run.cmd.Wait()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return run.cmd.ProcessState.ExitCode()
}

// TestOwnServices: with LEGACY and MONGODB_URI, the guide has their addresses and the demo does not start them.
func TestOwnServices(t *testing.T) {
	bin, variables := build(t), environment(t)
	legacy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer legacy.Close()
	address := legacy.Addr().String()
	run := start(t, bin, append(variables, "LEGACY="+address, "MONGODB_URI=mongodb://me:secret@127.0.0.1:1/?x=y"))
	pids := run.pids(t)
	code, rest := run.end(t, syscall.SIGTERM)
	hasSecret, hasAddress := strings.Contains(run.output, "secret"), strings.Contains(run.output, address)
	if code != 0 || len(pids) != 2 || hasSecret || !hasAddress {
		t.Errorf("exit status %d, processes %v, want weft and envoy only:\n%s%s", code, pids, run.output, rest)
	}
	checkGone(t, pids)
}

func TestConfigure(t *testing.T) {
	for _, c := range []struct{ variable, value, want string }{
		{"PORT", "http", "PORT=http: write a port from 1 to 65535, for example PORT=10000"},
		{"MONGODB_PORT", "0", "MONGODB_PORT=0: write a port from 1 to 65535, for example MONGODB_PORT=27018"},
		{"LEGACY", "localhost", "LEGACY=localhost: write host:port, for example LEGACY=127.0.0.1:8080"},
		{
			"MONGODB_URI", "localhost",
			"MONGODB_URI: write a connection string, for example MONGODB_URI=mongodb://127.0.0.1:27017",
		},
	} {
		_, err := configure(func(name string) string { return map[string]string{c.variable: c.value}[name] })
		if err == nil || err.Error() != c.want {
			t.Errorf("%s=%s: %v\nwant %s", c.variable, c.value, err, c.want)
		}
	}
	c, err := configure(func(name string) string { return map[string]string{"LEGACY_PORT": "10000"}[name] })
	if err == nil {
		err = c.checkPorts()
	}
	if err == nil || !strings.Contains(err.Error(), "10000") {
		t.Errorf("one port for two: %v", err)
	}
}

func TestProfiles(t *testing.T) {
	if all := profiles(); len(all) != 1000 {
		t.Errorf("%d profiles, want 1000", len(all))
	}
}
