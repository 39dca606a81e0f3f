//go:build cgo

package envoy_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var sanitizeGo = flag.Bool("asan", false, "TestModuleWithSanitizer also checks Go code, which takes minutes to compile")

// TestModuleWithSanitizer plays the responses of testdata/cases, and larger ones, with a program in the place of Envoy
// (see testdata/envoy.c of libweft). AddressSanitizer finds accesses of memory that Envoy has freed, and leaks: in the
// library's C code, with -asan also in its Go code.
func TestModuleWithSanitizer(t *testing.T) {
	dir := t.TempDir()
	source, driver, lib := "../../envoy/module/libweft", filepath.Join(dir, "envoy"), filepath.Join(dir, "libweft.so")
	build(t, nil, "gcc", "-fsanitize=address", "-g", "-O1", "-rdynamic", "-o", driver, source+"/testdata/envoy.c", "-ldl",
		"-lpthread")
	args, env := []string{"build", "-buildmode=c-shared", "-buildvcs=false", "-o", lib}, []string{}
	if *sanitizeGo {
		args = append(args, "-asan")
	} else {
		env = append(env, "CGO_CFLAGS=-g -O1 -fsanitize=address", "CGO_LDFLAGS=-fsanitize=address")
	}
	build(t, env, "go", append(args, source)...)

	rules := filepath.Join(dir, "rules.yaml")
	if err := os.WriteFile(rules, streamingRules(), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]any{"rules": rules, "mongodb-uri": mongod.URI(), "admin": ""})
	if err != nil {
		t.Fatal(err)
	}
	play := exec.Command(driver, lib, string(config))
	play.Stdin = strings.NewReader(sanitizerExchanges(t))
	var out bytes.Buffer
	play.Stdout, play.Stderr = &out, &out
	if err := play.Run(); err != nil {
		t.Errorf("%v\n%.5000s", err, &out)
	}
	played := regexp.MustCompile(`played \d{4,}, composed [1-9]\d+, passed [1-9]\d+\n`).Find(out.Bytes())
	if played == nil {
		t.Errorf("%.5000s", &out)
	}
	t.Logf("%s", played)
}

// build runs a compiler.
func build(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), env...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// sanitizerExchanges returns the input of the program.
func sanitizerExchanges(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	add := func(status, body string, headers ...[2]string) {
		fmt.Fprintf(&b, "%d %d\n:status\n%s\n", len(headers)+1, len(body), status)
		for _, h := range headers {
			fmt.Fprintf(&b, "%s\n%s\n", h[0], h[1])
		}
		b.WriteString(body)
	}
	files, err := filepath.Glob("testdata/cases/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		c, err := readCase(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, body, err := parseScript(c.legacy); err != nil {
			t.Fatal(err)
		} else if _, rest, ok := strings.Cut(c.legacy, "HTTP/1.1 "); ok && len(body) < 100<<10 {
			head, _, _ := strings.Cut(rest, "\n\n")
			status, headers, _ := strings.Cut(head, "\n")
			add(status[:3], body, parseHeaders(strings.ReplaceAll(headers, "content-length: auto",
				fmt.Sprintf("content-length: %d", len(body))))...)
		}
	}
	for _, size := range []int{70 << 10, 1 << 20, 3 << 20} {
		large := strings.Replace(coreUser7, "{", "{"+strings.Repeat(" ", size), 1)
		add("200", large)
		add("200", large, [2]string{"content-length", fmt.Sprint(len(large))})
		add("500", large)
	}
	return b.String()
}
