// Package watchfile watches files that are read again when they change: rules, connection strings, certificates.
package watchfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settleTime is how long after an event files are read: an editor may write a file in several pieces, and files
	// that belong together are replaced one after another.
	settleTime = 50 * time.Millisecond

	// maxSettleTime is how long events can put that off. Other files of the folder, such as a log, may change all the
	// time.
	maxSettleTime = time.Second

	// pollInterval is how often files are read without an event. A folder may be replaced, or be a link to another one
	// by now, and if a file is a link, its folder has no events of what it leads to.
	pollInterval = 10 * time.Second
)

// ErrPolled is in the error with which Watch says that the system has no file events for it. Watch goes on: it reads the
// files from time to time.
var ErrPolled = errors.New("no file events")

// Read returns the contents of files.
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

// Watch calls changed with the contents of files when one of them has changed, or with an error if one cannot be read,
// until ctx ends. names returns the files, which may be others from time to time; current is what the caller has read
// of them, nil for nothing. Watch watches folders, so that it sees files that are replaced, and the link that
// Kubernetes turns to a new ConfigMap or Secret.
func Watch(ctx context.Context, names func() []string, current [][]byte, changed func([][]byte, error)) {
	watch(ctx, names, current, pollInterval, changed)
}

func watch(
	ctx context.Context, names func() []string, current [][]byte, poll time.Duration, changed func([][]byte, error),
) {
	var events chan fsnotify.Event
	var errs chan error
	w, err := fsnotify.NewWatcher()
	if err != nil {
		changed(nil, fmt.Errorf("files are read again every %v, not when they change: %w: %w", poll, ErrPolled, err))
	} else {
		defer func() { _ = w.Close() }()
		events, errs = w.Events, w.Errors
	}
	look := time.NewTimer(0) // they may have changed before
	defer look.Stop()
	var since time.Time // of the first event after the last look; zero for none
	for {
		select {
		case <-ctx.Done():
			return
		case err := <-errs:
			changed(nil, err)
		case <-events:
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) < maxSettleTime {
				look.Reset(settleTime)
			}
		case <-look.C:
			watched := names()
			if w != nil {
				follow(w, watched, since.IsZero())
			}
			since = time.Time{}
			look.Reset(poll)
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

// follow has w watch the folders of files. A path may lead to another folder than before, or to none for a while: again
// says to resolve it again. Errors are left to the next look, and to who reads the files.
func follow(w *fsnotify.Watcher, names []string, again bool) {
	for _, name := range names {
		folder := filepath.Dir(name)
		if again {
			_ = w.Remove(folder)
		}
		_ = w.Add(folder)
	}
}
