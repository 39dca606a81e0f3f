package rulesfile

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// TestWatch changes a file in ways that give no notification, or too many.
func TestWatch(t *testing.T) {
	text, err := os.ReadFile("../../examples/user-profile/rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]byte("# changed\n"), text...)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(dir string, text []byte) {
		t.Helper()
		must(os.MkdirAll(dir, 0o755))
		must(os.WriteFile(filepath.Join(dir, "rules.yaml"), text, 0o644))
	}
	var writers sync.WaitGroup
	for _, test := range []struct {
		name   string
		poll   time.Duration
		before func(dir string)
		change func(ctx context.Context, dir string)
	}{
		{
			"the file", time.Hour,
			func(dir string) { put(dir+"/now", text) },
			func(_ context.Context, dir string) { put(dir+"/now", changed) },
		},
		{
			"other files of the folder change all the time", time.Hour,
			func(dir string) { put(dir+"/now", text) },
			func(ctx context.Context, dir string) {
				put(dir+"/now", changed)
				writers.Go(func() {
					for ctx.Err() == nil {
						_ = os.WriteFile(dir+"/now/log", []byte("line"), 0o644)
					}
				})
			},
		},
		{
			"the folder is a link", time.Millisecond,
			func(dir string) { put(dir+"/one", text); put(dir+"/two", changed); must(os.Symlink("one", dir+"/now")) },
			func(_ context.Context, dir string) {
				must(os.Symlink("two", dir+"/next"))
				must(os.Rename(dir+"/next", dir+"/now"))
			},
		},
		{
			"the file is a link", time.Millisecond,
			func(dir string) {
				put(dir+"/one", text)
				must(os.Mkdir(dir+"/now", 0o755))
				must(os.Symlink("../one/rules.yaml", dir+"/now/rules.yaml"))
			},
			func(_ context.Context, dir string) { put(dir+"/one", changed) },
		},
		{
			"the folder is made again", time.Millisecond,
			func(dir string) { put(dir+"/now", text) },
			func(_ context.Context, dir string) { must(os.RemoveAll(dir + "/now")); put(dir+"/now", changed) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.before(dir)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			seen, ended := make(chan []byte), make(chan error, 1)
			go func() {
				ended <- watch(ctx, dir+"/now/rules.yaml", nil, test.poll, func(f *File, err error) {
					if err != nil {
						return // the folder is missing
					}
					select {
					case seen <- f.Text:
					case <-ctx.Done():
					}
				})
			}()
			want := func(text []byte) {
				t.Helper()
				select {
				case got := <-seen:
					if !bytes.Equal(got, text) {
						t.Errorf("%.20s, want %.20s", got, text)
					}
				case <-ctx.Done():
					t.Error("not seen")
				}
			}
			want(text)
			test.change(ctx, dir)
			want(changed)
			cancel()
			writers.Wait()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
