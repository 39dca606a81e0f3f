package operations_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSocketMode: only weft's user and group may connect. The folder of the socket is created.
func TestSocketMode(t *testing.T) {
	s := newSystem(t)
	path := filepath.Join(s.Dir, "run", "weft.sock")
	startWeft(t, s, "--listen", "unix:"+path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode(); got != os.ModeSocket|0o660 {
		t.Errorf("%v", got)
	}
}

// TestStaleSocketIsReplaced: kill -9 leaves a socket, which the next weft replaces and removes when it stops.
func TestStaleSocketIsReplaced(t *testing.T) {
	s := newSystem(t)
	path := strings.TrimPrefix(s.Socket, "unix:")
	if err := startWeft(t, s).Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	stopWeft(t, startWeft(t, s))
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestSocketInUse: a second weft does not take the socket from the first one.
func TestSocketInUse(t *testing.T) {
	s := newSystem(t)
	startWeft(t, s)
	got, err := exec.CommandContext(t.Context(), s.Weft, "serve", "--admin", "", "--listen", s.Socket).CombinedOutput()
	want := "weft: listen on " + s.Socket + ": another process serves on this socket; stop it or choose another path\n"
	if err == nil || string(got) != want {
		t.Errorf("%v\n got %q\nwant %q", err, got, want)
	}
}
