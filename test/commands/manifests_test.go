package commands_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/envoy"
	"weft/internal/rulesfile"
)

// TestManifestsGenerated compares the generated files in k8s/ with the output of generate.sh: Envoy's configuration,
// and copies of the dashboard, the alerts and MongoDB's initiate.js. It is not in test/k8s so that it runs with "make
// test", when an original has changed.
func TestManifestsGenerated(t *testing.T) {
	out := t.TempDir()
	generate := exec.CommandContext(t.Context(), "../../k8s/generate.sh", out) // testscript puts weft on the PATH
	if output, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("generate.sh: %v\n%s", err, output)
	}
	read := func(elements ...string) string {
		text, err := os.ReadFile(filepath.Join(elements...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	generated := 0
	err := filepath.WalkDir(out, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		generated++
		name, err := filepath.Rel(out, file)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(read("../../k8s", name), read(file)); diff != "" {
			t.Errorf("k8s/%s (-is +should be); run \"make k8s\"\n%s", name, diff)
		}
		return nil
	})
	if err != nil || generated != 14 {
		t.Errorf("generate.sh writes %d files, %v", generated, err)
	}
	copies, err := os.ReadDir("../../k8s/chart/files")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range copies {
		if _, err := os.Stat(filepath.Join(out, "chart", "files", file.Name())); err != nil {
			t.Errorf("generate.sh does not write k8s/chart/files/%s; remove it", file.Name())
		}
	}
}

// TestManifestsRules: the rules in the manifests are the built-in rules, which all other tests use.
func TestManifestsRules(t *testing.T) {
	f, err := rulesfile.Load("../../k8s/base/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := envoy.Fingerprint(f.Rules), envoy.Fingerprint(rulesfile.Builtin().Rules); got != want {
		t.Errorf("fingerprint of the Envoy configuration %s, want %s, that of the built-in rules", got, want)
	}
}
