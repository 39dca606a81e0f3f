package harness

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Await calls a probe every 10 ms until it returns nil or the context ends. The error then wraps the context's and the
// last one of the probe.
func Await(ctx context.Context, probe func(context.Context) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w (last error: %w)", context.Cause(ctx), err)
		}
	}
}

// Listening is a Ready for a process that accepts connections, "tcp" or "unix". The path of a socket may be relative to
// the working directory of the process: a socket's path is at most 107 bytes long.
func Listening(network, address string) func(context.Context, *Process) error {
	return func(ctx context.Context, p *Process) error {
		address := address
		if network == "unix" && !filepath.IsAbs(address) {
			address = filepath.Join("/proc", strconv.Itoa(p.Pid()), "cwd", address)
		}
		connection, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return err
		}
		return connection.Close()
	}
}

// Serving is a Ready for a process that answers GET requests for a URL with status 200.
func Serving(url string) func(context.Context, *Process) error {
	return func(ctx context.Context, _ *Process) error {
		answer, err := Get(ctx, url)
		if err == nil && answer.Status != http.StatusOK {
			err = fmt.Errorf("%s: status %d", url, answer.Status)
		}
		return err
	}
}

// AwaitLog returns when the log has a line that contains the text, after the line that the last call found. It must not
// be called from several goroutines.
func (p *Process) AwaitLog(ctx context.Context, text string) error {
	found := false
	probe := func(context.Context) (err error) {
		if !found {
			err = p.findLine(text)
			found = err == nil
		}
		return err
	}
	err := p.Await(ctx, probe)
	if found || probe(ctx) == nil { // the last lines of a process that has ended count
		return nil
	}
	return fmt.Errorf("%w; the end of %s:\n%s", err, p.log, p.LastLines(20))
}

// findLine looks for the next line of the log that contains one of the texts.
func (p *Process) findLine(texts ...string) error {
	log, err := os.ReadFile(p.log)
	if err != nil {
		return err
	}
	end := p.seen
	for line := range strings.Lines(string(log[p.seen:])) {
		end += len(line)
		contains := func(text string) bool { return strings.Contains(line, text) }
		if strings.HasSuffix(line, "\n") && slices.ContainsFunc(texts, contains) {
			p.seen = end
			return nil
		}
	}
	return fmt.Errorf("its log has no %q", texts)
}
