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
	Name    string          // in errors and in the name of the log
	Path    string          // the binary
	Args    []string        // without the name of the binary
	Env     []string        // added to the environment of this process, "NAME=value" each
	Dir     string          // working directory; empty means that of this process
	Log     string          // file for standard output and standard error, truncated first
	Prepare func(*exec.Cmd) // changes what the other fields have set; nil for nothing

	// Ready returns nil as soon as the process can be used. Start calls it again and again. If it is nil, the process
	// can be used at once.
	Ready func(context.Context, *Process) error
}

// Process is a running child. It has a process group of its own, so that a Ctrl-C in the terminal reaches only the
// parent, which then stops its children in order. When the parent dies, for whatever reason, the kernel kills the
// child. The methods but AwaitLog may be called from several goroutines.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // written before done is closed
	seen int   // bytes of the log that AwaitLog has read
}

// Start starts a child and returns when it is ready. The context limits the start, not the life of the child, which the
// caller ends with Stop or Kill. A child that does not get ready is killed.
func Start(ctx context.Context, command Command) (*Process, error) {
	process, err := start(command)
	if err != nil || command.Ready == nil {
		return process, err
	}
	ready := func(ctx context.Context) error { return command.Ready(ctx, process) }
	if err := process.Await(ctx, ready); err != nil {
		return nil, errors.Join(err, process.Kill())
	}
	return process, nil
}

func start(command Command) (*Process, error) {
	log, err := os.OpenFile(command.Log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("%s needs its log file: %w", command.Name, err)
	}
	cmd := exec.Command(command.Path, command.Args...)
	cmd.Env = append(os.Environ(), command.Env...)
	cmd.Dir = command.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if command.Prepare != nil {
		command.Prepare(cmd)
	}

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

// Pid returns the number of the process.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Name returns the name from the Command.
func (p *Process) Name() string { return p.name }

// Log returns the path of the log file.
func (p *Process) Log() string { return p.log }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended: nil for exit status 0, and nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Signal sends a signal. If the process has ended, the error is os.ErrProcessDone.
func (p *Process) Signal(signal os.Signal) error { return p.cmd.Process.Signal(signal) }

// Stop asks the process to end with SIGTERM, kills it after the grace period, and returns when it is gone. The error is
// nil if it ended by itself within the grace period, whatever its exit status: Err returns that.
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

// Await is [Await] for something that the process does. It also gives up when the process ends; the error then has the
// last lines of the log.
func (p *Process) Await(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx) // a probe that hangs must end with the process
	defer cancel()
	go func() {
		select {
		case <-p.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := Await(ctx, probe)
	select {
	case <-p.done:
		return p.Ended()
	default:
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", p.name, err)
	}
	return err
}

// Ended returns an error that describes a process that was not expected to end: how it ended and the last lines of its
// log. It must be called after Done is closed.
func (p *Process) Ended() error {
	how := "exit status 0"
	if err := p.Err(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s (pid %d) has ended by itself: %s; the end of %s:\n%s",
		p.name, p.Pid(), how, p.log, p.LastLines(10))
}

// LastLines returns the last lines of the log, each indented and cut at 400 bytes. A mongod writes dozens of lines when
// it ends, so its lines of severity "I" are left out if there are others.
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
