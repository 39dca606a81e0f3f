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

// Await calls probe every 10 ms until it returns nil or ctx ends. If ctx ends, the error wraps its cause and the last
// error of probe.
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

// Listening returns a Ready that waits until the process accepts connections; network is "tcp" or "unix". The path of a
// Unix socket may be relative to the working directory of the process, because a socket path has at most 107 bytes.
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

// Serving returns a Ready that waits until GET url has status 200.
func Serving(url string) func(context.Context, *Process) error {
	return func(ctx context.Context, _ *Process) error {
		answer, err := Get(ctx, url)
		if err == nil && answer.Status != http.StatusOK {
			err = fmt.Errorf("%s: status %d", url, answer.Status)
		}
		return err
	}
}

// AwaitLog waits for a log line that contains text, after the line that the previous call found. It is not safe for
// concurrent use.
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
	if found || probe(ctx) == nil { // the process may have ended right after writing the line
		return nil
	}
	return fmt.Errorf("%w; the end of %s:\n%s", err, p.log, p.LastLines(20))
}

// findLine searches for the next log line that contains one of the texts.
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
