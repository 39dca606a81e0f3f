package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Freeze sends SIGSTOP and returns when all threads of the process have stopped, which may take a while on a busy
// machine. SIGCONT continues the process.
func (p *Process) Freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return p.Await(context.Background(), func(context.Context) error {
		frozen, err := isFrozen(p.Pid())
		if err == nil && !frozen {
			err = errors.New("a thread is running")
		}
		return err
	})
}

// isFrozen reports whether all threads of a process are stopped (proc_pid_stat(5), state T).
func isFrozen(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false, err
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		// The command name, in parentheses, may contain any characters.
		if rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:]); !strings.HasPrefix(rest, " T") {
			return false, nil
		}
	}
	return true, nil
}
