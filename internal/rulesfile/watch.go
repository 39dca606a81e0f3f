package rulesfile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	settleTime    = 50 * time.Millisecond // after a change, before the file is read: an editor may write in several steps
	maxSettleTime = time.Second           // in which changes can extend settleTime: other files may change all the time
	pollInterval  = 10 * time.Second      // between reads without a notification
)

// Watch calls changed with each new content of a rules file, or with the errors in it, until ctx ends. current is the
// content that the caller has. Watch watches the folder, since files are often replaced, and Kubernetes replaces a
// symbolic link to the folder of a ConfigMap. It also polls: a folder that is replaced, and a file that a link leads
// to, give no notification.
func Watch(ctx context.Context, name string, current []byte, changed func(*File, error)) error {
	return watch(ctx, name, current, pollInterval, changed)
}

func watch(ctx context.Context, name string, current []byte, poll time.Duration, changed func(*File, error)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", name, err)
	}
	defer func() { _ = w.Close() }()
	folder := filepath.Dir(name)
	if err := w.Add(folder); err != nil {
		return fmt.Errorf("watch %s: %w", name, err)
	}
	read := time.NewTimer(0) // the file may have changed before the watch began
	defer read.Stop()
	var since time.Time // of the first notification since the last read; zero for none
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors:
			changed(nil, fmt.Errorf("watch %s: %w", name, err))
		case <-w.Events:
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) < maxSettleTime {
				read.Reset(settleTime)
			}
		case <-read.C:
			if since.IsZero() { // the folder may have been replaced, or be missing for a while
				_ = w.Remove(folder)
				_ = w.Add(folder)
			}
			since = time.Time{}
			read.Reset(poll)
			text, err := os.ReadFile(name)
			if err != nil {
				if current != nil {
					changed(nil, fmt.Errorf("rules file: %w", err))
				}
				current = nil
				continue
			}
			if current != nil && bytes.Equal(text, current) {
				continue
			}
			current = text
			changed(Parse(name, text))
		}
	}
}
