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

// The states of a child.
const (
	running = "running"
	frozen  = "frozen" // SIGSTOP
	stopped = "stopped"
)

// child is a service of the demo. The page's buttons stop its process and start a new one.
type child struct {
	launch func(context.Context) (*harness.Process, error) // returns when the process is ready
	died   chan<- *harness.Process                         // gets a process that ended unexpectedly; capacity 1

	changing sync.Mutex // held during a state change, which may take seconds

	mu      sync.Mutex // guards the following
	process *harness.Process
	state   string
}

// setProcess sets the running process and reports to died if it ends unexpectedly.
func (c *child) setProcess(process *harness.Process) {
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
		default: // the first death ends the demo
		}
	}()
}

func (c *child) now() (*harness.Process, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.process, c.state
}

// status returns the state.
func (c *child) status() string {
	_, state := c.now()
	return state
}

func (c *child) current() *harness.Process {
	process, _ := c.now()
	return process
}

func (c *child) setState(state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = state
}

// errVerb is wrapped by the error of do for an unknown verb.
var errVerb = errors.New("unknown verb")

// do changes the state of the child: "run", "freeze", "stop" or "kill". It does nothing if the child is in that state.
// ctx limits a start.
func (c *child) do(ctx context.Context, verb string) error {
	c.changing.Lock()
	defer c.changing.Unlock()
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
	return fmt.Errorf("%q: %w; want run, freeze, stop or kill", verb, errVerb)
}

func (c *child) run(ctx context.Context, process *harness.Process, state string) error {
	switch state {
	case frozen:
		c.setState(running)
		return process.Signal(syscall.SIGCONT)
	case stopped:
		process, err := c.launch(ctx)
		if err != nil {
			return err
		}
		c.setProcess(process)
	}
	return nil
}

func (c *child) freeze(ctx context.Context, process *harness.Process, state string) error {
	switch state {
	case frozen:
		return nil
	case stopped: // start it first
		if err := c.run(ctx, process, state); err != nil {
			return err
		}
	}
	c.setState(frozen)
	return c.current().Freeze()
}

// finish ends the process with end. It continues a frozen process first, because that would not handle SIGTERM.
func (c *child) finish(end func() error) error {
	process, state := c.now()
	c.setState(stopped)
	if state == frozen {
		_ = process.Signal(syscall.SIGCONT) // fails only if the process has ended
	}
	return end()
}

// end stops the child when the demo ends.
func (c *child) end() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	return c.finish(func() error { return c.current().Stop(15 * time.Second) })
}
