// Package manifests shows that the manifests are such as an API server and Envoy take, and are made as they should be.
package manifests_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weft/enrich"
	"weft/envoy"
	"weft/internal/rulesfile"
	"weft/k8s/proof"
)

// TestGenerated shows that what has its source elsewhere is what generate.sh makes of it: all of Envoy's comes from the rules.
func TestGenerated(t *testing.T) {
	out := t.TempDir()
	generate := exec.CommandContext(t.Context(), proof.Path(t, "k8s", "generate.sh"), out)
	generate.Env = append(os.Environ(), "PATH="+filepath.Dir(proof.BuildWeft(t))+":"+os.Getenv("PATH"))
	if output, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("generate.sh: %v\n%s", err, output)
	}
	made := 0
	err := filepath.WalkDir(out, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		made++
		name, err := filepath.Rel(out, file)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(read(t, proof.Path(t, "k8s", name)), read(t, file)); diff != "" {
			t.Errorf("k8s/%s (-is +should be); run \"make k8s\"\n%s", name, diff)
		}
		return nil
	})
	if err != nil || made != 12 {
		t.Errorf("generate.sh made %d files, %v", made, err)
	}
}

// TestRules shows that the rules of the manifests are those that weft has by itself, which all other tests are about.
func TestRules(t *testing.T) {
	f, err := rulesfile.Load(proof.Path(t, "k8s", "base", "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := envoy.Fingerprint(f.Rules), envoy.Fingerprint(enrich.UserProfile()); got != want {
		t.Errorf("they make the Envoy configuration %s, weft's own %s", got, want)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
