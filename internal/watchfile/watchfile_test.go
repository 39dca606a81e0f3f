package watchfile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// replace writes a file and renames it into place. It creates the directory if necessary.
func replace(t *testing.T, name, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name+".new", []byte(text), 0o644))
	must(t, os.Rename(name+".new", name))
}

// TestWatch changes files in ways for which the directory has no events, or too many.
func TestWatch(t *testing.T) {
	for _, test := range []struct {
		name   string
		poll   time.Duration
		before func(t *testing.T, dir string)
		change func(t *testing.T, dir string)
	}{
		{
			"a file is replaced", time.Hour,
			func(t *testing.T, dir string) { replace(t, dir+"/now/file", "old") },
			func(t *testing.T, dir string) { replace(t, dir+"/now/file", "new") },
		},
		{
			"a file is written", time.Hour,
			func(t *testing.T, dir string) { replace(t, dir+"/now/file", "old") },
			func(t *testing.T, dir string) { must(t, os.WriteFile(dir+"/now/file", []byte("new"), 0o644)) },
		},
		{
			"another file in the directory changes all the time", time.Hour,
			func(t *testing.T, dir string) { replace(t, dir+"/now/file", "old") },
			func(t *testing.T, dir string) {
				replace(t, dir+"/now/file", "new")
				ctx, cancel := context.WithCancel(t.Context())
				var writer sync.WaitGroup
				writer.Go(func() {
					for ctx.Err() == nil {
						_ = os.WriteFile(dir+"/now/log", []byte("line"), 0o644)
					}
				})
				t.Cleanup(func() { cancel(); writer.Wait() })
			},
		},
		{
			"the directory is a symlink", time.Millisecond,
			func(t *testing.T, dir string) {
				replace(t, dir+"/one/file", "old")
				replace(t, dir+"/two/file", "new")
				must(t, os.Symlink("one", dir+"/now"))
			},
			func(t *testing.T, dir string) {
				must(t, os.Symlink("two", dir+"/next"))
				must(t, os.Rename(dir+"/next", dir+"/now"))
			},
		},
		{
			"the file is a symlink", time.Millisecond,
			func(t *testing.T, dir string) {
				replace(t, dir+"/one/file", "old")
				must(t, os.Mkdir(dir+"/now", 0o755))
				must(t, os.Symlink("../one/file", dir+"/now/file"))
			},
			func(t *testing.T, dir string) { replace(t, dir+"/one/file", "new") },
		},
		{
			"the directory is recreated", time.Millisecond,
			func(t *testing.T, dir string) { replace(t, dir+"/now/file", "old") },
			func(t *testing.T, dir string) { must(t, os.RemoveAll(dir+"/now")); replace(t, dir+"/now/file", "new") },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.before(t, dir)
			w := start(t, test.poll, nil, func() []string { return []string{dir + "/now/file"} })
			w.await("old")
			test.change(t, dir)
			w.await("new")
		})
	}
}

// TestWatchFilesTogether: a change of one file delivers the contents of all, including one whose name has changed.
func TestWatchFilesTogether(t *testing.T) {
	dir := t.TempDir()
	replace(t, dir+"/a/cert", "cert 1")
	replace(t, dir+"/b/key", "key 1")
	names := []string{dir + "/a/cert", dir + "/b/key"}
	var mu sync.Mutex
	w := start(t, time.Hour, [][]byte{[]byte("cert 1"), []byte("key 1")}, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return names
	})
	replace(t, dir+"/b/key", "key 2")
	w.await("cert 1", "key 2")
	replace(t, dir+"/c/cert", "cert 3")
	mu.Lock()
	names = []string{dir + "/c/cert", dir + "/b/key"}
	mu.Unlock()
	replace(t, dir+"/b/key", "key 3")
	w.await("cert 3", "key 3")
	replace(t, dir+"/c/cert", "cert 4") // in a directory that was not watched at the start
	w.await("cert 4", "key 3")
}

// TestWatchErrors: an unreadable file is reported once, and its contents when it is readable again.
func TestWatchErrors(t *testing.T) {
	dir := t.TempDir()
	replace(t, dir+"/file", "old")
	w := start(t, time.Millisecond, nil, func() []string { return []string{dir + "/file"} })
	w.await("old")
	must(t, os.Remove(dir+"/file"))
	if err := <-w.errs; !os.IsNotExist(err) {
		t.Errorf("error %v", err)
	}
	replace(t, dir+"/file", "old")
	w.await("old")
}

// TestWatchWithoutEvents: if inotify is not available, files are polled.
func TestWatchWithoutEvents(t *testing.T) {
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	none := syscall.Rlimit{Cur: 0, Max: limit.Max}
	dir := t.TempDir()
	replace(t, dir+"/file", "old")
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none))
	w := start(t, time.Millisecond, nil, func() []string { return []string{dir + "/file"} })
	err := <-w.polled
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if !strings.Contains(err.Error(), "every 1ms") {
		t.Errorf("error %v", err)
	}
	w.await("old")
	replace(t, dir+"/file", "new")
	w.await("new")
}

// watcher is a call of watch that runs until the test ends.
type watcher struct {
	t        *testing.T
	contents chan [][]byte
	errs     chan error
	polled   chan error
}

func start(t *testing.T, poll time.Duration, current [][]byte, names func() []string) *watcher {
	w := &watcher{t: t, contents: make(chan [][]byte), errs: make(chan error, 100), polled: make(chan error, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		watch(ctx, names, current, poll, func(contents [][]byte, err error) {
			if err != nil {
				w.errs <- err
				return
			}
			select {
			case w.contents <- contents:
			case <-ctx.Done():
			}
		}, func(err error) { w.polled <- err })
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// await waits for the next contents.
func (w *watcher) await(want ...string) {
	w.t.Helper()
	got := <-w.contents
	for i, text := range got {
		if len(got) != len(want) || string(text) != want[i] {
			w.t.Fatalf("%q, want %q", got, want)
		}
	}
}
