package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"weft/test/harness"
)

// binaries are the paths of the programs that this repository builds. The library of weft is beside weft.
type binaries struct{ weft, legacy string }

func (b binaries) library() string { return filepath.Join(filepath.Dir(b.weft), "libweft.so") }

// runner holds the children in the order in which they were started.
type runner struct {
	config
	bin      binaries
	children []*child
	rows     []row // what the guide shows
	died     chan *harness.Process
	pageURL  string // where the page is served behind the legacy service; "" for none
}

// run starts everything, says how to try it, and returns when the context has ended, with nil, or a child has died. All
// children are gone then. Closing hurry kills those that are still there.
func run(ctx context.Context, c config, b binaries, hurry <-chan struct{}) (err error) {
	if err := b.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.data, 0o755); err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	unlock, err := lock(c.data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.checkPorts(); err != nil {
		return err
	}
	r := &runner{config: c, bin: b, died: make(chan *harness.Process, 1)}
	pages, err := r.listenForPage(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(hurry)) }()
	starts := []func(context.Context) error{r.startMongod, r.startLegacy, r.startWeft, r.startEnvoy}
	if c.module {
		if _, err := os.Stat(b.library()); err != nil {
			return fmt.Errorf("MODE=module: %w; \"make build\" builds it if there is a C compiler", err)
		}
		starts = slices.Delete(starts, 2, 3)
	}
	for _, start := range starts {
		err := start(ctx)
		if ctx.Err() != nil {
			return nil // the user has changed their mind
		}
		if err != nil {
			return err
		}
	}
	if pages != nil {
		defer r.servePage(ctx, pages)() // closed before the children end: no button may start one again
	}
	r.guide(os.Stdout)

	select {
	case <-ctx.Done():
		return nil
	case process := <-r.died:
		return process.Ended()
	}
}

// check makes the paths absolute, since the children have working directories of their own.
func (b *binaries) check() error {
	for _, path := range []*string{&b.weft, &b.legacy} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		if _, err := os.Stat(absolute); err != nil {
			return fmt.Errorf("%w; start the demo with \"make run\", which builds it", err)
		}
		*path = absolute
	}
	return nil
}

// lock keeps a second runner off the data folder. It locks the folder itself, and the kernel drops the lock when this
// process dies, so that nothing is left to clean up.
func lock(data string) (unlock func(), err error) {
	folder, err := os.Open(data)
	if err != nil {
		return nil, fmt.Errorf("DATA: %w", err)
	}
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another \"make run\" uses the data folder %s; end that one, or choose another, "+
			"for example: DATA=.demo2 make run (with ports of its own)", data), folder.Close())
	}
	return func() { _ = folder.Close() }, nil
}

// stop ends the children in reverse order.
func (r *runner) stop(hurry <-chan struct{}) error {
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-hurry:
			for _, child := range r.children {
				_ = child.current().Signal(syscall.SIGKILL) // end, below, waits for it
			}
		case <-finished:
		}
	}()
	var failures error
	for i := len(r.children) - 1; i >= 0; i-- {
		failures = errors.Join(failures, r.children[i].end())
	}
	return failures
}
