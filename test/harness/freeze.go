package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Freeze stops the process in its tracks (SIGSTOP), and returns when each of its threads stands still: on a busy machine
// some go on for a while after the signal. SIGCONT has it go on.
func (p *Process) Freeze() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		frozen, err := isFrozen(p.Pid())
		if frozen || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-p.done:
			return p.Ended()
		}
	}
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
		// The name, in parentheses, may have anything in it.
		if rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:]); !strings.HasPrefix(rest, " T") {
			return false, nil
		}
	}
	return true, nil
}
