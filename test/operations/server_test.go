package operations_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func weft(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "WEFT_TEST_IS_WEFT=1")
	return cmd
}

// server is a running "weft serve".
type server struct {
	cmd *exec.Cmd
	log chan string // its lines; closed when it has ended

	seen strings.Builder // the lines of log that expect and stop have read
}

// startServer returns when weft serves. MongoDB's address is one where nothing listens: weft does not need it.
func startServer(t *testing.T, args ...string) *server {
	t.Helper()
	return startServerWith(t, nil, append([]string{"serve", "--mongodb-uri", "mongodb://127.0.0.1:1", "--admin", "", "--drain-window", "0"}, args...)...)
}

// startServerWith is startServer with an environment, and without defaults.
func startServerWith(t *testing.T, env []string, args ...string) *server {
	t.Helper()
	cmd := weft(context.Background(), args...)
	cmd.Env = append(cmd.Env, env...)
	return startCommand(t, cmd)
}

// startCommand returns when cmd, which is weft, serves.
func startCommand(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	return startCommandThatLogs(t, cmd, "msg=serving")
}

// startCommandThatLogs is startCommand for other formats of the log.
func startCommandThatLogs(t *testing.T, cmd *exec.Cmd, serving string) *server {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd, log: make(chan string, 100)}
	go func() {
		defer close(s.log)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.log <- lines.Text()
		}
	}()
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.expect(t, serving)
	return s
}

// expect waits for a line of the log.
func (s *server) expect(t *testing.T, part string) {
	t.Helper()
	deadline := time.After(8 * time.Second) // far more than anything here takes
	for {
		select {
		case line, ok := <-s.log:
			if !ok {
				t.Fatalf("weft has ended and did not log %q:\n%s", part, s.seen.String())
			}
			s.seen.WriteString(line + "\n")
			if strings.Contains(line, part) {
				return
			}
		case <-deadline:
			t.Fatalf("weft does not log %q:\n%s", part, s.seen.String())
		}
	}
}

// stop ends weft with SIGTERM, which is to be a good end, and reads the rest of its log.
func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.expect(t, "msg=stopped")
	for line := range s.log {
		s.seen.WriteString(line + "\n")
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("weft did not end with 0: %v", err)
	}
}
