// Package watchfile reloads files when they change: rules, connection strings, certificates.
package watchfile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleTime is the delay between the last event and the read. An editor may write a file in several pieces, and a
	// certificate and its key are replaced one after the other.
	settleTime = 50 * time.Millisecond

	// maxSettleTime limits the delay while events keep arriving: another file in the directory, such as a log, may
	// change all the time.
	maxSettleTime = time.Second

	// pollInterval is how often the files are read without an event. There are no events when the directory is
	// replaced, when it is a symlink that now points elsewhere, or when a file is a symlink and its target changes.
	pollInterval = 10 * time.Second
)

// Read returns the contents of the files, or the first error.
func Read(names []string) ([][]byte, error) {
	contents := make([][]byte, len(names))
	for i, name := range names {
		var err error
		if contents[i], err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

// Watch calls changed with the contents of all files each time one of them changes, or with an error if one cannot be
// read, until ctx ends. It calls names before each read, so the set of files may change. current is what the caller has
// read already; nil if nothing. Watch watches directories, not files: it sees files that are replaced by a rename, and
// the symlink that Kubernetes updates for a ConfigMap or Secret.
//
// If file events are not available, Watch calls polled with the reason, and polls the files.
func Watch(
	ctx context.Context, names func() []string, current [][]byte, changed func([][]byte, error), polled func(error),
) {
	watch(ctx, names, current, pollInterval, changed, polled)
}

func watch(
	ctx context.Context, names func() []string, current [][]byte, poll time.Duration, changed func([][]byte, error),
	polled func(error),
) {
	var events chan fsnotify.Event
	var errs chan error
	w, err := fsnotify.NewWatcher()
	if err != nil {
		polled(fmt.Errorf("cannot watch files; polling every %v instead: no file events: %w", poll, err))
	} else {
		defer func() { _ = w.Close() }()
		events, errs = w.Events, w.Errors
	}
	timer := time.NewTimer(0) // the files may have changed since the caller read them
	defer timer.Stop()
	var firstEvent time.Time // the time of the first event since the last read; zero if none
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-errs:
			changed(nil, err)
		case <-events:
			if firstEvent.IsZero() {
				firstEvent = time.Now()
			}
			if time.Since(firstEvent) < maxSettleTime {
				timer.Reset(settleTime)
			}
		case <-timer.C:
			watched := names()
			if w != nil {
				addDirs(w, watched, firstEvent.IsZero())
			}
			firstEvent = time.Time{}
			timer.Reset(poll)
			contents, err := Read(watched)
			switch {
			case err != nil:
				if current != nil {
					changed(nil, err)
				}
			case !slices.EqualFunc(contents, current, bytes.Equal):
				changed(contents, nil)
			}
			current = contents
		}
	}
}

// addDirs adds the directories of the files to w. With resolve, it removes them first, because the same path may now
// name another directory. It ignores errors: a directory may be missing for a moment, and reading its files reports
// that.
func addDirs(w *fsnotify.Watcher, names []string, resolve bool) {
	for _, name := range names {
		dir := filepath.Dir(name)
		if resolve {
			_ = w.Remove(dir)
		}
		_ = w.Add(dir)
	}
}
