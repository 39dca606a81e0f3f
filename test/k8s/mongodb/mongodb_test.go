// Package mongodb tests components/mongodb: with the commands, keys and names of the manifests, and with mongosh, three
// mongods become a replica set that weft can read.
package mongodb_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	corev1 "k8s.io/api/core/v1"

	"weft/test/harness"
	"weft/test/k8s"
)

func TestMain(m *testing.M) { os.Exit(k8s.InNamespace(m)) }

// replicaSet replaces the StatefulSet controller, the kubelet and DNS.
type replicaSet struct {
	*testing.T
	container corev1.Container
	secret    map[string]string
	dir, bin  string
}

const members = 3

// address returns the address of a member. All addresses in 127.0.0.0/8 are this machine.
func address(member int) string { return fmt.Sprintf("127.0.0.%d", 11+member) }

func newReplicaSet(t *testing.T) *replicaSet {
	objects := k8s.Objects(t, k8s.Render(t, k8s.Path(t, "k8s", "components", "mongodb")))
	var secret corev1.Secret
	k8s.Find(t, objects, "Secret", "mongodb", &secret)
	r := &replicaSet{T: t, secret: secret.StringData, dir: t.TempDir(), bin: t.TempDir()}
	for _, pod := range k8s.Pods(t, k8s.Render(t, k8s.Path(t, "k8s", "components", "mongodb"))) {
		r.container = pod.Spec.Containers[0]
	}
	hosts := "127.0.0.1 localhost\n"
	for i := range members {
		hosts += fmt.Sprintf("%s mongodb-%d.mongodb\n", address(i), i)
	}
	r.write(filepath.Join(r.dir, "hosts"), hosts, 0o644)
	if err := syscall.Mount(filepath.Join(r.dir, "hosts"), "/etc/hosts", "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount("/etc/hosts", 0) })
	r.write(filepath.Join(r.dir, "keyfile"), r.secret["keyfile"], 0o400)
	shell := "#!/bin/sh\nexec " + k8s.Tool(t, "mongosh") + " --host \"$ADDRESS\" \"$@\"\n"
	r.write(filepath.Join(r.bin, "mongosh"), shell, 0o755)
	return r
}

func (r *replicaSet) write(file, text string, mode os.FileMode) {
	r.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		r.Fatal(err)
	}
}

// start starts a member with the container's command.
func (r *replicaSet) start(member int) *harness.Process {
	r.Helper()
	mongod, err := harness.Tool("mongod")
	if err != nil {
		r.Fatal(err)
	}
	data := filepath.Join(r.dir, fmt.Sprint("data", member))
	if err := os.MkdirAll(data, 0o755); err != nil {
		r.Fatal(err)
	}
	var arguments []string
	for _, a := range r.container.Command[1:] {
		if a != "--bind_ip_all" { // members share this machine, with one address each
			arguments = append(arguments, strings.Replace(a, "/etc/mongodb/", r.dir+"/", 1))
		}
	}
	process, err := harness.Start(r.Context(), harness.Command{
		Name: "mongod", Path: mongod, Args: append(arguments, "--bind_ip", address(member), "--dbpath", data),
		Log: filepath.Join(r.dir, fmt.Sprint("log", member)),
	})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = process.Kill()
		k8s.LogOnFailure(r, process.Log())
	})
	return process
}

// postStart runs a member's hook.
func (r *replicaSet) postStart(member int) error {
	hook := r.container.Lifecycle.PostStart.Exec.Command
	script := strings.Replace(hook[2], "/etc/mongodb-initiate/", k8s.Path(r, "k8s", "components", "mongodb")+"/", 1)
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, hook[0], hook[1], script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // mongosh, too
	cmd.Env = []string{"PATH=" + r.bin + ":" + os.Getenv("PATH"), "HOME=" + r.dir, "ADDRESS=" + address(member)}
	for _, e := range r.container.Env {
		switch {
		case e.Name == "HOME":
		case e.Name == "MEMBER":
			cmd.Env = append(cmd.Env, fmt.Sprintf("MEMBER=mongodb-%d", member))
		case e.ValueFrom != nil:
			cmd.Env = append(cmd.Env, e.Name+"="+r.secret[e.ValueFrom.SecretKeyRef.Key])
		default:
			cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
		}
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("postStart of mongodb-%d: %w\n%s", member, err, output)
	}
	return nil
}

func TestReplicaSet(t *testing.T) {
	r := newReplicaSet(t)
	first := r.start(0)
	initiated := make(chan error, 1)
	go func() { initiated <- r.postStart(0) }() // it waits for the other members
	for i := 1; i < members; i++ {
		r.start(i)
		if err := r.postStart(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-initiated; err != nil {
		t.Fatal(err)
	}

	// weft's connection string.
	var uri corev1.Secret
	k8s.Find(t, k8s.Objects(t, k8s.Overlay(t, "gateway")), "Secret", "weft-mongodb", &uri)
	client, err := mongo.Connect(options.Client().ApplyURI(uri.StringData["uri"]))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	var hello struct{ Hosts []string }
	err = client.Database("admin").RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}}).Decode(&hello)
	if err != nil || len(hello.Hosts) != members {
		t.Errorf("the members are %s, %v", hello.Hosts, err)
	}
	profiles := client.Database("user_profiles").Collection("profiles")
	if n, err := profiles.CountDocuments(t.Context(), bson.D{}); err != nil || n != 0 {
		t.Errorf("weft reads %d, %v", n, err)
	}
	_, err = profiles.InsertOne(t.Context(), bson.D{})
	if err == nil || !strings.Contains(err.Error(), "not authorized") {
		t.Errorf("weft may write: %v", err)
	}
	anonymous, err := mongo.Connect(options.Client().ApplyURI("mongodb://mongodb-0.mongodb/?directConnection=true"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = anonymous.Disconnect(context.Background()) }()
	err = anonymous.Database("user_profiles").Collection("profiles").FindOne(t.Context(), bson.D{}).Err()
	if err == nil || !strings.Contains(err.Error(), "requires authentication") {
		t.Errorf("a client without authentication may read: %v", err)
	}
	t.Setenv("WEFT_MONGODB_URI", uri.StringData["uri"])
	check, stderr, err := k8s.Try(t, k8s.BuildWeft(t), "check", k8s.Path(t, "k8s", "base", "rules.yaml"))
	if text := string(check) + string(stderr); err != nil || strings.Contains(text, "no index") {
		t.Errorf("weft check: %v\n%s", err, text)
	}

	// The hook of a restarted member changes nothing.
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	r.start(0)
	if err := r.postStart(0); err != nil {
		t.Error(err)
	}
}
