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

// binaries are paths of programs from this repository.
type binaries struct{ weft, legacy string }

// library returns the path of libweft.so, which is built next to weft.
func (b binaries) library() string { return filepath.Join(filepath.Dir(b.weft), "libweft.so") }

// runner starts and stops the children.
type runner struct {
	config
	bin      binaries
	children []*child // in start order
	rows     []row    // of the guide
	died     chan *harness.Process
	pageURL  string  // of the page, to which the legacy service forwards; empty without a page
	caches   *caches // of the rules for the page; nil without these rules
}

// run starts everything, prints the guide, and returns when ctx ends, with nil, or a child dies. It stops all children
// before it returns; closing kill kills them.
func run(ctx context.Context, c config, b binaries, kill <-chan struct{}) (err error) {
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
	if err := r.writeRules(); err != nil {
		return err
	}
	pages, err := r.listenForPage(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.stop(kill)) }()
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
			return nil // interrupted by the user
		}
		if err != nil {
			return err
		}
	}
	if r.caches != nil {
		if err := r.caches.do(ctx, "off"); err != nil {
			return err
		}
	}
	if pages != nil {
		defer r.servePage(ctx, pages)() // closes before the children stop, so that no button restarts one
	}
	r.guide(os.Stdout)

	select {
	case <-ctx.Done():
		return nil
	case process := <-r.died:
		return process.Ended()
	}
}

// check makes the paths absolute, because the children have other working directories.
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

// lock locks the data directory against a second demo. The kernel releases the lock when this process ends.
func lock(data string) (unlock func(), err error) {
	dir, err := os.Open(data)
	if err != nil {
		return nil, fmt.Errorf("DATA: %w", err)
	}
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err := fmt.Errorf("another \"make run\" uses the data directory %s; stop it, or choose another directory and "+
			"other ports, for example: DATA=.demo2 PORT=10001 make run", data)
		return nil, errors.Join(err, dir.Close())
	}
	return func() { _ = dir.Close() }, nil
}

// stop stops the children in reverse order. Closing kill kills them.
func (r *runner) stop(kill <-chan struct{}) error {
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-kill:
			for _, child := range r.children {
				_ = child.current().Signal(syscall.SIGKILL) // end, below, waits for it
			}
		case <-finished:
		}
	}()
	var errs error
	for i := len(r.children) - 1; i >= 0; i-- {
		errs = errors.Join(errs, r.children[i].end())
	}
	return errs
}
