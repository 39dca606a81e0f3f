package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"weft/test/harness"
)

// The states of a child. That it ends in another way than by a verb is a failure of the demo.
const (
	running = "running"
	frozen  = "frozen" // SIGSTOP: it is there, and says nothing
	stopped = "stopped"
)

// child is a service of the demo: one process after the other, when the page's buttons end it and start it again.
type child struct {
	launch func(context.Context) (*harness.Process, error) // returns when the process is ready
	died   chan<- *harness.Process                         // takes a process that ended by itself; holds one

	turn sync.Mutex // held for the whole of a change, which may take seconds

	mu      sync.Mutex // guards the rest
	process *harness.Process
	state   string
}

// began notes a process that runs, and watches it.
func (c *child) began(process *harness.Process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.process, c.state = process, running
	go func() {
		<-process.Done()
		if current, state := c.now(); current != process || state == stopped {
			return
		}
		select {
		case c.died <- process:
		default: // another one has died already, which is enough
		}
	}()
}

func (c *child) now() (*harness.Process, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process, c.state
}

func (c *child) current() *harness.Process {
	process, _ := c.now()
	return process
}

func (c *child) become(state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}

// errVerb is what do wraps when there is no such verb.
var errVerb = errors.New("write run, freeze, stop or kill")

// do brings the child where a verb says, and does nothing when it is there already. The context limits a start.
func (c *child) do(ctx context.Context, verb string) error {
	c.turn.Lock()
	defer c.turn.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	process, state := c.now()
	switch verb {
	case "run":
		return c.run(ctx, process, state)
	case "freeze":
		return c.freeze(ctx, process, state)
	case "stop":
		return c.finish(func() error { return process.Stop(15 * time.Second) })
	case "kill":
		return c.finish(process.Kill)
	}
	return fmt.Errorf("%q: %w", verb, errVerb)
}

func (c *child) run(ctx context.Context, process *harness.Process, state string) error {
	switch state {
	case frozen:
		c.become(running)
		return process.Signal(syscall.SIGCONT)
	case stopped:
		process, err := c.launch(ctx)
		if err != nil {
			return err
		}
		c.began(process)
	}
	return nil
}

func (c *child) freeze(ctx context.Context, process *harness.Process, state string) error {
	switch state {
	case frozen:
		return nil
	case stopped: // what does not run cannot be frozen
		if err := c.run(ctx, process, state); err != nil {
			return err
		}
	}
	c.become(frozen)
	return c.current().Freeze()
}

// finish ends the process on purpose. A frozen one would not hear a SIGTERM.
func (c *child) finish(how func() error) error {
	process, state := c.now()
	c.become(stopped)
	if state == frozen {
		_ = process.Signal(syscall.SIGCONT) // when it is gone, there is nothing to wake
	}
	return how()
}

// end stops the child for good.
func (c *child) end() error {
	c.turn.Lock()
	defer c.turn.Unlock()
	return c.finish(func() error { return c.current().Stop(15 * time.Second) })
}
