package rulesfile

import (
	"context"
	"fmt"

	"weft/internal/watchfile"
)

// Watch calls changed with each new version of a rules file, or with the error in it, until ctx ends. current is the
// text that the caller has loaded.
func Watch(ctx context.Context, name string, current []byte, changed func(*File, error)) {
	names := func() []string { return []string{name} }
	watchfile.Watch(ctx, names, [][]byte{current}, func(contents [][]byte, err error) {
		if err != nil {
			changed(nil, fmt.Errorf("rules file: %w", err))
			return
		}
		changed(Parse(name, contents[0]))
	})
}
