package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"weft/internal/stack"
)

// binaries are the paths of the programs that this repository builds.
type binaries struct{ weft, legacy string }

// runner holds the children in the order in which they were started.
type runner struct {
	config
	bin      binaries
	children []*stack.Process
	rows     []row // what the guide shows
}

// run starts everything, says how to try it, and returns when the context has ended, with nil, or a child has died. All
// children are gone then. Closing hurry kills those that are still there.
func run(ctx context.Context, c config, b binaries, hurry <-chan struct{}) (err error) {
	if err := b.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(c.data, 0o755); err != nil {
		return fmt.Errorf("DATA: %w", err)
	}
	unlock, err := lock(c.data)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.checkPorts(); err != nil {
		return err
	}
	r := &runner{config: c, bin: b}
	defer func() { err = errors.Join(err, r.stop(hurry)) }()
	for _, start := range []func(context.Context) error{r.startMongod, r.startLegacy, r.startWeft, r.startEnvoy} {
		err := start(ctx)
		if ctx.Err() != nil {
			return nil // the user has changed their mind
		}
		if err != nil {
			return err
		}
	}
	r.guide(os.Stdout)

	died := make(chan *stack.Process, len(r.children))
	for _, child := range r.children {
		go func() {
			<-child.Done()
			died <- child
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case child := <-died:
		return child.Ended()
	}
}

// check makes the paths absolute, since the children have working directories of their own.
func (b *binaries) check() error {
	for _, path := range []*string{&b.weft, &b.legacy} {
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		if _, err := os.Stat(absolute); err != nil {
			return fmt.Errorf("%w; start the demo with \"make run\", which builds it", err)
		}
		*path = absolute
	}
	return nil
}

// lock keeps a second runner off the data folder. It locks the folder itself, and the kernel drops the lock when this
// process dies, so that nothing is left to clean up.
func lock(data string) (unlock func(), err error) {
	folder, err := os.Open(data)
	if err != nil {
		return nil, fmt.Errorf("DATA: %w", err)
	}
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another \"make run\" uses the data folder %s; end that one, or choose another, "+
			"for example: DATA=.demo2 make run (with ports of its own)", data), folder.Close())
	}
	return func() { _ = folder.Close() }, nil
}

// stop ends the children in reverse order.
func (r *runner) stop(hurry <-chan struct{}) error {
	finished := make(chan struct{})
	defer close(finished)
	go func() {
		select {
		case <-hurry:
			for _, child := range r.children {
				_ = child.Signal(syscall.SIGKILL) // Stop, below, waits for it
			}
		case <-finished:
		}
	}()
	var failures error
	for i := len(r.children) - 1; i >= 0; i-- {
		failures = errors.Join(failures, r.children[i].Stop(15*time.Second))
	}
	return failures
}

func (r *runner) startMongod(ctx context.Context) error {
	if r.mongoPort == 0 {
		r.rows = append(r.rows, row{"mongodb", "yours", hosts(r.mongodbURI), ""})
		return nil
	}
	fmt.Println("starting mongod …")
	mongod, err := stack.StartMongod(ctx, stack.MongodOptions{
		Dir:  filepath.Join(r.data, "mongodb"),
		Port: r.mongoPort,
		Log:  r.log("mongod"),
	})
	if err != nil {
		return err
	}
	r.add(mongod.Process, local(r.mongoPort))
	return seedProfiles(ctx, r.mongodbURI)
}

func (r *runner) startLegacy(ctx context.Context) error {
	if r.legacyPort == 0 {
		r.rows = append(r.rows, row{"legacy", "yours", r.legacy, ""})
		return nil
	}
	fmt.Println("starting the legacy service …")
	legacy, err := stack.Start(stack.Command{
		Name: "legacy",
		Path: r.bin.legacy,
		Args: []string{"-listen", r.legacy, "-db", filepath.Join(r.data, "legacy.db"), "-faults"},
		Log:  r.log("legacy"),
	})
	if err != nil {
		return err
	}
	r.add(legacy, r.legacy)
	return legacy.AwaitReady(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.legacy+"/api/v1/users/1", nil)
		if err != nil {
			return err
		}
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
		if err != nil {
			return err
		}
		return response.Body.Close()
	})
}

// socket is relative to the data folder, where weft and Envoy work: the path of a socket holds 107 bytes at most.
const socket = "weft.sock"

func (r *runner) startWeft(ctx context.Context) error {
	fmt.Println("starting weft …")
	// The lock on the folder is held, so a socket there is the leftover of a runner that was killed.
	if err := os.RemoveAll(filepath.Join(r.data, socket)); err != nil {
		return err
	}
	weft, err := stack.Start(stack.Command{
		Name: "weft",
		Path: r.bin.weft,
		Args: []string{"serve", "--listen", "unix:" + socket, "--admin", "", "--drain-window", "0"},
		Env:  []string{"WEFT_MONGODB_URI=" + r.mongodbURI},
		Dir:  r.data,
		Log:  r.log("weft"),
	})
	if err != nil {
		return err
	}
	r.add(weft, filepath.Join(r.data, socket))
	return weft.AwaitReady(ctx, func(ctx context.Context) error {
		// Again a short path to the socket, this time by way of weft's working directory.
		path := filepath.Join("/proc", strconv.Itoa(weft.Pid()), "cwd", socket)
		connection, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err != nil {
			return err
		}
		return connection.Close()
	})
}

func (r *runner) startEnvoy(ctx context.Context) error {
	fmt.Println("starting Envoy …")
	printer := exec.CommandContext(ctx, r.bin.weft, "envoy", "--legacy", r.legacy, "--weft", "unix:"+socket,
		"--listen", local(r.port), "--admin", local(r.adminPort))
	printer.Stderr = os.Stderr
	bootstrap, err := printer.Output()
	if err != nil {
		return fmt.Errorf("weft does not print Envoy's configuration: %w", err)
	}
	envoy, err := stack.StartEnvoy(ctx, stack.EnvoyOptions{Dir: r.data, Bootstrap: bootstrap, Log: r.log("envoy")})
	if err != nil {
		return err
	}
	r.add(envoy.Process, local(r.port)+", admin "+local(r.adminPort))
	return nil
}

func (r *runner) log(name string) string { return filepath.Join(r.data, name+".log") }

// add notes a child that runs.
func (r *runner) add(child *stack.Process, address string) {
	r.children = append(r.children, child)
	r.rows = append(r.rows, row{child.Name(), strconv.Itoa(child.Pid()), address, child.Log()})
}
