// Package k8s has the shared code of the tests below it. They test the manifests with real software: kustomize, an API
// server's validation, istiod's code, Envoy Gateway and Envoy.
package k8s

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"
)

// Overlays returns the names of the overlays, the ways to install weft.
func Overlays() []string { return []string{"gateway", "sidecar", "standalone", "module"} }

// Path returns the absolute path of a file of the repository.
func Path(t testing.TB, elements ...string) string {
	t.Helper()
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(append([]string{root}, elements...)...)
}

func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "test", "k8s", "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("the current directory is not in weft's repository")
		}
	}
}

// Tool returns the path of a tool that "make k8s-tools" has built.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path := Path(t, ".tools", "k8s", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing; run \"make k8s-tools\" (%v)", name, err)
	}
	return path
}

// Run runs a command and returns its standard output. If the command fails, the test ends.
func Run(t testing.TB, name string, args ...string) []byte {
	t.Helper()
	stdout, stderr, err := Try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", filepath.Base(name), args, err, stdout, stderr)
	}
	return stdout
}

// Try runs a command that may fail.
func Try(t testing.TB, name string, args ...string) (stdout, stderr []byte, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	err = cmd.Run()
	return out.Bytes(), errors.Bytes(), err
}

// BuildWeft builds weft and returns the path of its binary, whose name is weft.
func BuildWeft(t testing.TB) string {
	t.Helper()
	if weft := os.Getenv(inside); weft != "" {
		return weft
	}
	weft := filepath.Join(t.TempDir(), "weft")
	if output, err := buildWeft(weft); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	return weft
}

func buildWeft(path string) ([]byte, error) {
	cmd := exec.Command("go", "build", "-o", path, ".")
	root, err := repository()
	if err != nil {
		return nil, err
	}
	cmd.Dir = root
	return cmd.CombinedOutput()
}

// Render returns the output of kustomize for a directory.
func Render(t testing.TB, dir string) []byte {
	t.Helper()
	return Run(t, Tool(t, "kustomize"), "build", dir)
}

// Overlay returns the output of kustomize for an overlay.
func Overlay(t testing.TB, name string) []byte {
	t.Helper()
	return Render(t, Path(t, "k8s", "overlays", name))
}

// Object is a Kubernetes object.
type Object struct {
	Kind     string
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
		Annotations     map[string]string
	}
	YAML []byte `json:"-"`
}

// Objects parses a YAML stream.
func Objects(t testing.TB, stream []byte) []Object {
	t.Helper()
	var objects []Object
	for text := range bytes.SplitSeq(stream, []byte("\n---\n")) {
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		o := Object{YAML: text}
		if err := yaml.Unmarshal(text, &o); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if o.Kind != "" {
			objects = append(objects, o)
		}
	}
	return objects
}

// Find decodes the object with a kind and a name into o. Unknown fields are errors.
func Find(t testing.TB, objects []Object, kind, name string, o any) {
	t.Helper()
	err := errors.New("not found")
	for _, object := range objects {
		if object.Kind == kind && object.Metadata.Name == name {
			err = yaml.UnmarshalStrict(object.YAML, o)
		}
	}
	if err != nil {
		t.Fatal(fmt.Errorf("%s %s: %w", kind, name, err))
	}
}
