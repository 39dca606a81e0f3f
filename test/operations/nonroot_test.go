package operations_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"weft/test/harness"
)

// TestNonRoot runs weft as the container image does: as an unprivileged user without a home and a temporary directory.
// weft writes only its socket. If the test does not run as root, the user stays the same.
func TestNonRoot(t *testing.T) {
	s, admin := newSystem(t), freeAddr(t)
	binary, err := os.Open(s.Weft)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = binary.Close() }()
	dir, err := os.MkdirTemp("/tmp", "weft")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	weft := startCommand(t, s, harness.Command{
		Path: "/proc/self/fd/3", // the user cannot read the directory of the binary
		Args: []string{"serve", "--listen", "unix:" + filepath.Join(dir, "w"), "--admin", admin, "--drain-window", "0"},
		Dir:  "/",
		Prepare: func(cmd *exec.Cmd) {
			cmd.ExtraFiles = []*os.File{binary}
			cmd.Env = []string{"WEFT_TEST_IS_WEFT=1", "HOME=/nowhere", "TMPDIR=/nowhere"}
			if os.Getuid() == 0 {
				const user = 65532
				if err := os.Chown(dir, user, user); err != nil {
					t.Fatal(err)
				}
				cmd.SysProcAttr.Credential = &syscall.Credential{Uid: user, Gid: user}
			}
		},
	})
	if got := page(t, admin+"/readyz"); got != "200 ok\n" {
		t.Errorf("/readyz: %s", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "w" {
		t.Errorf("%v, %v; want only the socket", entries, err)
	}
	stopWeft(t, weft)
}
