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

// Command describes a process to start.
type Command struct {
	Name    string          // for errors and the name of the log
	Path    string          // of the binary
	Args    []string        // without the name of the binary
	Env     []string        // "NAME=value" each; added to this process's environment
	Dir     string          // working directory; empty means this process's
	Log     string          // file for standard output and standard error; truncated at start
	Prepare func(*exec.Cmd) // modifies the command before it starts; may be nil

	// Ready returns nil when the process is ready. Start polls it. A nil Ready means that the process is ready
	// immediately.
	Ready func(context.Context, *Process) error
}

// Process is a child process. It has its own process group, so that Ctrl-C in a terminal reaches only the parent, which
// then stops its children in order. When the parent dies, the kernel kills the child. All methods but AwaitLog are safe
// for concurrent use.
type Process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // written before done is closed
	seen int   // bytes of the log that AwaitLog has read
}

// Start starts a process and returns when it is ready. ctx limits the start only; the caller ends the process with Stop
// or Kill. Start kills a process that does not become ready.
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
		return nil, fmt.Errorf("open the log of %s: %w", command.Name, err)
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
		// The kernel sends Pdeathsig when the thread that forked ends, not the process. This goroutine keeps the thread
		// until the child has ended.
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
		return nil, fmt.Errorf("start %s: %w", command.Name, err)
	}
	return process, nil
}

// Pid returns the process ID.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Name returns the name from the Command.
func (p *Process) Name() string { return p.name }

// Log returns the path of the log file.
func (p *Process) Log() string { return p.log }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns nil if the process is running or ended with exit status 0, and otherwise how it ended.
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

// Stop sends SIGTERM, kills the process after the grace period, and returns when it has ended. The error is nil if the
// process ended within the grace period; see Err for its exit status.
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

// Kill sends SIGKILL and returns when the process has ended.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	<-p.done
	return nil
}

// Await is like the function [Await], but also returns when the process ends. The error then contains the last lines of
// the log.
func (p *Process) Await(ctx context.Context, probe func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx) // so that a blocked probe ends with the process
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

// Ended returns an error for a process that ended unexpectedly, with its exit status and the last lines of its log.
// Call it only after Done is closed.
func (p *Process) Ended() error {
	how := "exit status 0"
	if err := p.Err(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s (pid %d) ended unexpectedly: %s; the end of %s:\n%s",
		p.name, p.Pid(), how, p.log, p.LastLines(10))
}

// LastLines returns the last lines of the log, each indented and cut at 400 bytes. It omits mongod's lines of severity
// "I" if there are others, because mongod writes dozens of them when it ends.
func (p *Process) LastLines(count int) string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return "    " + err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	isInfo := func(line string) bool { return strings.Contains(line, `"s":"I"`) }
	if others := slices.DeleteFunc(slices.Clone(lines), isInfo); len(others) > 0 {
		lines = others
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
