package image_test

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"weft/test/harness"
	"weft/test/k8s"
)

// glibc is the minor version of glibc 2 whose symbols the library needs, as documented in envoy/module/README.md.
const glibc = 34

// envoy builds Envoy's base image from the Envoy of the tests and the host's glibc.
func (b *buildah) envoy() {
	b.t.Helper()
	envoy, err := harness.Tool("envoy")
	if err != nil {
		b.t.Fatal(err)
	}
	container := strings.TrimSpace(b.run("from", "scratch"))
	b.run("copy", "--quiet", container, envoy, "/usr/local/bin/envoy")
	for _, library := range regexp.MustCompile(`/lib\S+`).FindAllString(string(k8s.Run(b.t, "ldd", envoy)), -1) {
		b.run("copy", "--quiet", container, library, library)
	}
	b.run("copy", "--quiet", container, b.t.TempDir(), "/tmp")
	b.run("config", "--user", "65532:65532", "--entrypoint", `["/usr/local/bin/envoy"]`, container)
	b.run("commit", "--quiet", "--rm", container, "localhost/envoy:distroless-v1.40.0")
}

// TestEnvoyImage builds the target envoy of the Dockerfile with the host's C compiler. Its Envoy loads the library.
func TestEnvoyImage(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Fatal("gcc is missing; install it (on Debian: apt-get install gcc libc6-dev)")
	}
	b := newBuildah(t)
	b.golang()
	b.envoy()
	b.run("build", "--isolation", "chroot", "--quiet", "--target", "envoy",
		"--build-context", "golang:1.26-bookworm=container-image://localhost/golang:1.26",
		"--build-context", "envoyproxy/envoy:distroless-v1.40.0=container-image://localhost/envoy:distroless-v1.40.0",
		"--volume", "/usr:/usr:ro", "--volume", "/lib:/lib:ro", "--volume", "/lib64:/lib64:ro",
		"--volume", goEnv(t, "GOROOT")+":/usr/local/go:ro",
		"--volume", goEnv(t, "GOMODCACHE")+":/go/pkg/mod", "--volume", goEnv(t, "GOCACHE")+":/root/.cache/go-build",
		"--build-arg", "VERSION=proof", "--tag", "localhost/weft-envoy:proof", k8s.Path(t))
	b.run("from", "--name", "weft-envoy", "--pull-never", "localhost/weft-envoy:proof")
	root := strings.TrimSpace(b.run("mount", "weft-envoy"))
	expectGLIBC(t, filepath.Join(root, "usr/lib/libweft.so"))

	made := k8s.Run(t, k8s.BuildWeft(t), "envoy", "--mode", "module", "--rules", k8s.Path(t, "k8s", "base", "rules.yaml"),
		"--module-config", `{"rules": "/etc/weft/rules.yaml"}`, "--legacy", "127.0.0.1:8080")
	file := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(file, made, 0o644); err != nil {
		t.Fatal(err)
	}
	output := b.run("run", "--isolation", "chroot", "--volume", file+":/etc/envoy.yaml:ro",
		"--volume", k8s.Path(t, "k8s", "base")+":/etc/weft:ro", "weft-envoy",
		"/usr/local/bin/envoy", "--mode", "validate", "-c", "/etc/envoy.yaml")
	if !strings.Contains(output, "configuration '/etc/envoy.yaml' OK") {
		t.Errorf("Envoy's output: %s", output)
	}
}

// expectGLIBC checks the versions of the symbols that a library needs.
func expectGLIBC(t *testing.T, library string) {
	t.Helper()
	file, err := elf.Open(library)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.ImportedSymbols()
	if err != nil {
		t.Fatal(err)
	}
	newest := 0
	for _, s := range symbols {
		var minor int
		if n, _ := fmt.Sscanf(s.Version, "GLIBC_2.%d", &minor); n == 1 {
			newest = max(newest, minor)
		}
	}
	if newest != glibc {
		t.Errorf("the library needs glibc 2.%d, want 2.%d", newest, glibc)
	}
}
