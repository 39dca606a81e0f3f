package image_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"weft/test/k8s"
)

// buildah runs buildah with its images in a temporary directory.
type buildah struct {
	t     *testing.T
	path  string
	store string
}

func newBuildah(t *testing.T) *buildah {
	path, err := exec.LookPath("buildah")
	if err != nil {
		t.Fatal("buildah is missing; install it (on Debian: apt-get install buildah)")
	}
	b := &buildah{t: t, path: path, store: t.TempDir()}
	return b
}

func (b *buildah) run(args ...string) string {
	b.t.Helper()
	store := []string{
		"--root", filepath.Join(b.store, "root"), "--runroot", filepath.Join(b.store, "run"), "--storage-driver", "vfs",
	}
	return string(k8s.Run(b.t, b.path, append(store, args...)...))
}

// golang builds the Dockerfile's base image from the Go toolchain that runs this test, so that no registry is needed.
func (b *buildah) golang() {
	b.t.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		b.t.Fatal("busybox is missing; install it (on Debian: apt-get install busybox-static)")
	}
	container := strings.TrimSpace(b.run("from", "scratch"))
	b.run("copy", "--quiet", container, goEnv(b.t, "GOROOT"), "/usr/local/go")
	b.run("copy", "--quiet", container, busybox, "/bin/sh")
	b.run("copy", "--quiet", container, "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/certs/ca-certificates.crt")
	b.run("copy", "--quiet", container, b.t.TempDir(), "/tmp")
	b.run("config", "--env", "PATH=/usr/local/go/bin:/usr/bin:/bin", "--env", "GOPATH=/go", container)
	b.run("commit", "--quiet", "--rm", container, "localhost/golang:1.26")
}

// imageConfig is the part of an image's configuration that the test checks.
type imageConfig struct {
	User            string
	Entrypoint, Cmd []string
}

func (b *buildah) image(name string) imageConfig {
	b.t.Helper()
	var inspected struct {
		OCIv1 struct {
			Config imageConfig `json:"config"`
		}
	}
	if err := json.Unmarshal([]byte(b.run("inspect", "--type", "image", name)), &inspected); err != nil {
		b.t.Fatal(err)
	}
	return inspected.OCIv1.Config
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	value := strings.TrimSpace(string(k8s.Run(t, "go", "env", name)))
	if _, err := os.Stat(value); err != nil {
		t.Fatal(err)
	}
	return value
}
