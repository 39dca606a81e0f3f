package k8s

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// inside is an environment variable of the process in the namespaces. Its value is the path of weft's binary.
const inside = "WEFT_PROOF"

// InNamespace runs the tests of a package in a new network namespace, where they may use fixed ports and iptables, and
// with a new /run. TestMain calls it, with additional environment variables for the tests. It returns the exit status.
func InNamespace(m *testing.M, environment ...string) int {
	if os.Getenv(inside) != "" {
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "weft-proof")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	weft := filepath.Join(dir, "weft")
	if output, err := buildWeft(weft); err != nil { // there is no network in the namespace
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, output)
		return 1
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(append(os.Environ(), inside+"="+weft), environment...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "start in new namespaces (requires root): %v\n", err)
		return 1
	}
	return 0
}

// enter mounts /run and enables the loopback device.
func enter() error {
	if err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if output, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link (on Debian: apt-get install iproute2): %w\n%s", err, output)
	}
	return nil
}
