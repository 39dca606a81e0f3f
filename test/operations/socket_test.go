package operations_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSocketMode: only weft's user and group may connect. weft creates the directory of the socket.
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

// TestStaleSocketIsReplaced: weft replaces a socket that a killed weft left behind, and removes it when it stops.
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
		t.Errorf("the socket still exists: %v", err)
	}
}

// TestSocketInUse: a second weft does not take over the socket of a running one.
func TestSocketInUse(t *testing.T) {
	s := newSystem(t)
	startWeft(t, s)
	got, err := exec.CommandContext(t.Context(), s.Weft, "serve", "--admin", "", "--listen", s.Socket).CombinedOutput()
	want := "weft: listen on " + s.Socket + ": another process serves on this socket; stop it or choose another path\n"
	if err == nil || string(got) != want {
		t.Errorf("%v\n got %q\nwant %q", err, got, want)
	}
}
