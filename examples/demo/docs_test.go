package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"weft/test/harness"
)

// TestReadme runs the commands of README.md against "make run", with the rules file of README.md.
func TestReadme(t *testing.T) {
	demo := startDocsDemo(t)
	output := demo.run(t, "README.md", "")
	for _, want := range []string{
		"x-weft: composed", "x-weft: degraded; reason=legacy-error", `{"core":null,"extension":{"userId":7,`, "HTTP/1.1 403",
		"findOne({'userId': NumberLong('7')}",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("the commands of README.md do not print %q:\n%s", want, output)
		}
	}
}

// TestGettingStarted runs the commands of docs/getting-started.md. The services of "make run" are the user's own.
func TestGettingStarted(t *testing.T) {
	demo := startDocsDemo(t)
	// A reload takes a moment: a person sees the old answer, too, and asks again.
	output := demo.run(t, "docs/getting-started.md", `
until curl -sS http://127.0.0.1:10000/api/v1/users/7 | tee answer | grep -q '"createdAt":[^}]*,"profile":'; do :; done
cat answer
`)
	for _, want := range []string{
		"x-weft: composed", `"profile":{"tags":["vip"]},"errors":[]}`, `"profile":{"tags":["vip"],"theme":"dark"}`,
		"db.getSiblingDB('user_profiles')",
	} {
		if !strings.Contains(output, want) {
			t.Errorf("the commands of docs/getting-started.md do not print %q:\n%s", want, output)
		}
	}
}

// docsDemo is a running "make run", for the commands of a document.
type docsDemo struct {
	bin     string
	edit    *strings.Replacer // replaces default ports and paths by those of the test
	environ []string

	envoyPort string
}

func startDocsDemo(t *testing.T) *docsDemo {
	t.Helper()
	bin, variables := build(t), environment(t)
	run := start(t, bin, variables)
	t.Cleanup(func() { run.end(t, os.Interrupt) })
	if len(run.pids(t)) != 4 {
		t.Fatalf("want four processes:\n%s", run.output)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	port := func(name string) string {
		for _, v := range variables {
			if number, ok := strings.CutPrefix(v, name+"="); ok {
				return number
			}
		}
		t.Fatalf("no %s", name)
		return ""
	}
	socket := filepath.Join(t.TempDir(), "weft.sock")
	return &docsDemo{
		bin: bin,
		edit: strings.NewReplacer(
			"make run\n", "", "make build servers\n", "", // start and build have done so
			"$PWD/bin", bin, "$PWD/.tools", filepath.Join(root, ".tools"),
			":8081", ":"+port("LEGACY_PORT"), ":27018", ":"+port("MONGODB_PORT"), "/tmp/weft.sock", socket,
		),
		environ:   []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "TMPDIR=" + t.TempDir()},
		envoyPort: port("PORT"),
	}
}

// run runs the sh blocks of a document as one script, with another one after them. Its yaml blocks are the parts of
// rules.yaml. It returns what the script prints.
func (d *docsDemo) run(t *testing.T, name, more string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		t.Fatal(err)
	}
	script := `trap '[ -z "$pids" ] || kill $pids; wait' EXIT` + "\n"
	for _, block := range regexp.MustCompile("(?ms)^```(sh|yaml)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		if block[1] == "yaml" {
			script += "cat >>rules.yaml <<'END'\n" + block[2] + "END\n"
		} else {
			script += block[2]
		}
	}
	script = d.edit.Replace(script + more)
	script = regexp.MustCompile(`(?m) &$`).ReplaceAllString(script, ` & pids="$$pids $$!"`)
	envoyPort := d.envoyPort
	environ := append(append(os.Environ(), d.environ...), "WEFT_DRAIN_WINDOW=0s")
	if strings.Contains(script, "weft serve") { // a weft and an Envoy of its own
		var ports [3]int
		for i := range ports {
			if ports[i], err = harness.FreePort(); err != nil {
				t.Fatal(err)
			}
		}
		envoyPort = fmt.Sprint(ports[0])
		environ = append(environ,
			"WEFT_ENVOY_LISTEN="+local(ports[0]), "WEFT_ENVOY_ADMIN="+local(ports[1]), "WEFT_ADMIN="+local(ports[2]))
		script = strings.ReplaceAll(script, ":9902", fmt.Sprint(":", ports[2]))
	}
	script = strings.ReplaceAll(script, ":10000", ":"+envoyPort)

	cmd := exec.CommandContext(t.Context(), "sh", "-euc", "pids=\n"+script)
	cmd.Dir, cmd.Env = t.TempDir(), environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	output, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", name, err, script, output)
	}
	return string(output)
}
