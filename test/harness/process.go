package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Command says what to start.
type Command struct {
	Name string   // what messages call it
	Path string   // the binary
	Args []string // without the name of the binary
	Env  []string // added to this process's environment, "NAME=value" each
	Dir  string   // working directory; "" means this process's own
	Log  string   // file for standard output and standard error, emptied first
}

// Process is a running child. It has a process group of its own, so that a Ctrl-C in the terminal reaches only the
// parent, which can then stop its children in order. When the parent dies, however it dies, the kernel kills the child.
// Its methods may be used from several goroutines.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // written before done is closed
}

// Start starts a child and returns while it runs. Whoever starts it also ends it, with Stop or Kill.
func Start(command Command) (*Process, error) {
	log, err := os.OpenFile(command.Log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s needs its log file: %w", command.Name, err)
	}
	cmd := exec.Command(command.Path, command.Args...)
	cmd.Env = append(os.Environ(), command.Env...)
	cmd.Dir = command.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	process := &Process{name: command.Name, log: command.Log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ties Pdeathsig to the thread that forked, not to the process. This goroutine keeps that thread for
		// itself until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		closed := log.Close() // the child has its own copy
		started <- err
		if err != nil {
			return
		}
		process.err = errors.Join(cmd.Wait(), closed)
		close(process.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s does not start: %w", command.Name, err)
	}
	return process, nil
}

// Pid is the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Name is the name from the Command.
func (p *Process) Name() string { return p.name }

// Log is the path of the log file.
func (p *Process) Log() string { return p.log }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the process ended: nil for exit status 0, and nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Signal sends a signal. A process that has ended gives os.ErrProcessDone.
func (p *Process) Signal(signal os.Signal) error { return p.cmd.Process.Signal(signal) }

// Stop asks the process to end with SIGTERM, kills it after the grace period, and returns when it is gone. The error is
// nil when it ended by itself within the grace period, whatever its exit status: that is in Err.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(fmt.Errorf("%s: %w", p.name, err), p.Kill())
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s did not end within %v of SIGTERM and was killed", p.name, grace), p.Kill())
	}
}

// Kill ends the process with SIGKILL and returns when it is gone.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// AwaitReady calls the probe every 20 ms until it returns nil. It gives up when the process ends, and then the error
// carries the last lines of the log, or when the context ends, and then it carries the probe's last error too. The
// process is left as it is.
func (p *Process) AwaitReady(ctx context.Context, probe func(context.Context) error) error {
	// A probe that hangs on a process that has just died must end as well.
	probing, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.done:
			cancel()
		case <-probing.Done():
		}
	}()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(probing)
		select {
		case <-p.done:
			return p.Ended()
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w (last answer: %w)", p.name, context.Cause(ctx), err)
		default:
		}
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Ended describes a process that was not expected to end: how it ended and the last lines of its log. Call it after
// Done is closed.
func (p *Process) Ended() error {
	how := "exit status 0"
	if err := p.Err(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s (pid %d) has ended by itself: %s; the end of %s:\n%s", p.name, p.Pid(), how, p.log, p.LastLines(10))
}

// LastLines returns the end of the log: so many lines, each indented and cut at 400 bytes. A dying mongod writes dozens
// of lines about its shutdown, so its lines of severity "I" are left out where it has worse to say.
func (p *Process) LastLines(count int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return "    " + err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	informational := func(line string) bool { return strings.Contains(line, `"s":"I"`) }
	if worse := slices.DeleteFunc(slices.Clone(lines), informational); len(worse) > 0 {
		lines = worse
	}
	lines = lines[max(0, len(lines)-count):]
	for i, line := range lines {
		if len(line) > 400 {
			line = line[:400] + " …"
		}
		lines[i] = "    " + line
	}
	return strings.Join(lines, "\n")
}
