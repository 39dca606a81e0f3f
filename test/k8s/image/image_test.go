// Package image tests that the Dockerfile builds, and that the image runs as the manifests require.
package image_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"

	"weft/test/harness"
	"weft/test/k8s"
)

// TestImage builds the image with buildah and runs it with runc, with the arguments, the environment, the user and the
// security context of the sidecar.
func TestImage(t *testing.T) {
	b := newBuildah(t)
	b.golang()
	b.run("build", "--isolation", "chroot", "--quiet",
		"--build-context", "golang:1.26=container-image://localhost/golang:1.26",
		"--volume", goEnv(t, "GOMODCACHE")+":/go/pkg/mod", "--volume", goEnv(t, "GOCACHE")+":/root/.cache/go-build",
		"--build-arg", "VERSION=proof", "--tag", "localhost/weft:proof", k8s.Path(t))
	b.run("from", "--name", "weft", "--pull-never", "localhost/weft:proof")
	root := strings.TrimSpace(b.run("mount", "weft"))
	binary, err := os.Stat(filepath.Join(root, "weft"))
	if err != nil {
		t.Fatal(err)
	}
	if binary.Size() > 60<<20 {
		t.Errorf("the binary has grown to %d bytes", binary.Size())
	}
	t.Logf("the image's size is that of weft and the certificates: %.1f MB", float64(binary.Size())/1e6)
	image := b.image("localhost/weft:proof")
	if image.User != "65532:65532" || fmt.Sprint(image.Entrypoint, image.Cmd) != "[/weft] [serve]" {
		t.Errorf("the image runs %v %v as %s", image.Entrypoint, image.Cmd, image.User)
	}

	weft := k8s.WeftIn(t, k8s.Pods(t, k8s.Overlay(t, "sidecar"))["legacy"])
	socket, admin, pid := runAsInPod(t, root, image.Entrypoint, weft)
	expectRestricted(t, pid)
	got, err := harness.Get(t.Context(), "http://"+admin+weft.LivenessProbe.HTTPGet.Path)
	if err != nil || got.Body != "ok\n" {
		t.Errorf("its health check returns %s (%v)", got, err)
	}
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o660 {
		t.Errorf("the socket is %v; Envoy cannot connect", info.Mode())
	}
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	request := &healthpb.HealthCheckRequest{Service: "envoy.service.ext_proc.v3.ExternalProcessor"}
	health, err := healthpb.NewHealthClient(connection).Check(t.Context(), request)
	if err != nil || health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("gRPC's health check returns %v, %v", health, err)
	}
}

func TestHadolint(t *testing.T) {
	hadolint := k8s.Tool(t, "hadolint")
	k8s.Run(t, hadolint, k8s.Path(t, "Dockerfile"))
	bad := filepath.Join(t.TempDir(), "Dockerfile")
	if err := os.WriteFile(bad, []byte("FROM golang\nRUN cd /src && go build\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if stdout, _, err := k8s.Try(t, hadolint, bad); err == nil || !strings.Contains(string(stdout), "DL3006") {
		t.Errorf("hadolint accepts an invalid Dockerfile: %v\n%s", err, stdout)
	}
}

// expectRestricted checks in /proc that the process runs as user 65532, without privileges, on a read-only root.
func expectRestricted(t *testing.T, pid int) {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	status := read("status")
	for _, want := range []string{
		"Name:\tweft\n", "\nUid:\t65532\t65532\t65532\t65532\n", "\nGid:\t65532\t65532\t65532\t65532\n",
		"\nCapEff:\t0000000000000000\n", "\nCapBnd:\t0000000000000000\n", "\nNoNewPrivs:\t1\n",
	} {
		if !strings.Contains(status, want) {
			t.Errorf("its status has no %q:\n%s", want, status)
		}
	}
	if mounts := read("mountinfo"); !regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S+ / ro,`).MatchString(mounts) {
		t.Errorf("its root is writable:\n%s", mounts)
	}
}

// runAsInPod starts a container as the kubelet would. It returns weft's socket, admin address and process id.
func runAsInPod(t *testing.T, root string, entrypoint []string, c corev1.Container) (socket, admin string, pid int) {
	t.Helper()
	dir := t.TempDir()
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o777); err != nil {
		t.Fatal(err)
	}
	// An emptyDir with fsGroup.
	if err := os.Chown(run, 0, int(*c.SecurityContext.RunAsGroup)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(run, 0o777|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	admin, err := harness.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	environment := []string{"WEFT_MONGODB_URI=mongodb://127.0.0.1:1"} // weft starts without MongoDB
	for _, e := range c.Env {
		switch {
		case e.Name == "WEFT_ADMIN":
			environment = append(environment, "WEFT_ADMIN="+admin) // the port of the manifest may be in use
		case e.ValueFrom == nil:
			environment = append(environment, e.Name+"="+e.Value)
		}
	}
	type object map[string]any
	bind := func(from, to, mode string) object {
		return object{"destination": to, "type": "bind", "source": from, "options": []string{"rbind", mode}}
	}
	config, err := json.Marshal(object{
		"ociVersion": "1.0.0",
		"root":       object{"path": root, "readonly": *c.SecurityContext.ReadOnlyRootFilesystem},
		"process": object{
			"user":            object{"uid": *c.SecurityContext.RunAsUser, "gid": *c.SecurityContext.RunAsGroup},
			"args":            append(entrypoint, c.Args...),
			"env":             environment,
			"cwd":             "/",
			"noNewPrivileges": !*c.SecurityContext.AllowPrivilegeEscalation,
			"capabilities":    object{},
		},
		"mounts": []object{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			bind(run, "/run/weft", "rw"),
			bind(k8s.Path(t, "k8s", "base"), "/etc/weft", "ro"),
		},
		"linux": object{"namespaces": []object{{"type": "mount"}, {"type": "pid"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), config, 0o644); err != nil {
		t.Fatal(err)
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		t.Fatal("runc is missing; install it (on Debian: apt-get install runc)")
	}
	state, name := filepath.Join(dir, "state"), "weft-"+admin[len("127.0.0.1:"):]
	var container *harness.Process
	t.Cleanup(func() {
		_, _, _ = k8s.Try(cleanup{t}, runc, "--root", state, "kill", name, "KILL")
		if container != nil {
			<-container.Done()
			k8s.LogOnFailure(t, container.Log())
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	container, err = harness.Start(ctx, harness.Command{
		Name: "runc", Path: runc, Args: []string{"--root", state, "run", "--bundle", dir, name},
		Log: filepath.Join(dir, "log"), Ready: harness.Serving("http://" + admin + "/readyz"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var running struct{ Pid int }
	if err := json.Unmarshal(k8s.Run(t, runc, "--root", state, "state", name), &running); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(run, "weft.sock"), admin, running.Pid
}

// cleanup is a test whose context is not canceled at its end.
type cleanup struct{ testing.TB }

func (cleanup) Context() context.Context { return context.Background() }
