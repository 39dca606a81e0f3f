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

// settle is how long a file that changes is left alone: an editor may write it in several pieces.
const settle = 50 * time.Millisecond

// Watch calls changed with each new content of a rules file, or with what is wrong with it, until ctx ends. It watches
// the folder, so that files that are replaced are seen, and the symbolic link that Kubernetes turns to a new ConfigMap.
// current is what the caller has of the file.
func Watch(ctx context.Context, name string, current []byte, changed func(*File, error)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", name, err)
	}
	defer func() { _ = w.Close() }()
	if err := w.Add(filepath.Dir(name)); err != nil {
		return fmt.Errorf("watch %s: %w", name, err)
	}
	look := time.NewTimer(0) // it may have changed before the watch began
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.Errors:
			changed(nil, fmt.Errorf("watch %s: %w", name, err))
		case <-w.Events:
			look.Reset(settle)
		case <-look.C:
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
