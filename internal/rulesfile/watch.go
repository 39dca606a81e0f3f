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

// settle is how long a file that changes is left alone: an editor may write it in several pieces. patience is how long
// that can be put off: other files of the folder, a log for example, may change all the time.
const (
	settle   = 50 * time.Millisecond
	patience = time.Second
)

// poll is how often a file is looked at without a sign: its folder may have been replaced, or be a link that now leads to
// another, and a change of a file that it is a link to gives none.
const poll = 10 * time.Second

// Watch calls changed with each new content of a rules file, or with what is wrong with it, until ctx ends. It watches
// the folder, so that files that are replaced are seen, and the symbolic link that Kubernetes turns to a new ConfigMap.
// current is what the caller has of the file.
func Watch(ctx context.Context, name string, current []byte, changed func(*File, error)) error {
	return watch(ctx, name, current, poll, changed)
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
	look := time.NewTimer(0) // it may have changed before the watch began
	defer look.Stop()
	var since time.Time // of the first event that is not followed up; zero for none
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
			if time.Since(since) < patience {
				look.Reset(settle)
			}
		case <-look.C:
			if since.IsZero() { // the path may be another folder's by now, or have none for a while
				_ = w.Remove(folder)
				_ = w.Add(folder)
			}
			since = time.Time{}
			look.Reset(poll)
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
