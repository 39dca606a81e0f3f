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

	stack "weft/test/harness"
)

func (r *runner) startMongod(ctx context.Context) error {
	if r.mongoPort == 0 {
		r.rows = append(r.rows, row{"mongodb", "yours", hosts(r.mongodbURI), ""})
		return nil
	}
	fmt.Println("starting mongod …")
	launch := func(ctx context.Context) (*stack.Process, error) {
		mongod, err := stack.StartMongod(ctx, stack.MongodOptions{
			Dir:  filepath.Join(r.data, "mongodb"),
			Port: r.mongoPort,
			Log:  r.log("mongod"),
		})
		if err != nil {
			return nil, err
		}
		return mongod.Process, nil
	}
	if err := r.add(ctx, launch, local(r.mongoPort)); err != nil {
		return err
	}
	return seedProfiles(ctx, r.mongodbURI)
}

func (r *runner) startLegacy(ctx context.Context) error {
	if r.legacyPort == 0 {
		r.rows = append(r.rows, row{"legacy", "yours", r.legacy, ""})
		return nil
	}
	fmt.Println("starting the legacy service …")
	return r.add(ctx, r.launchLegacy, r.legacy)
}

func (r *runner) launchLegacy(ctx context.Context) (*stack.Process, error) {
	legacy, err := stack.Start(stack.Command{
		Name: "legacy",
		Path: r.bin.legacy,
		Args: []string{"-listen", r.legacy, "-db", filepath.Join(r.data, "legacy.db"), "-faults", "-others", r.pageURL},
		Log:  r.log("legacy"),
	})
	if err != nil {
		return nil, err
	}
	return ready(ctx, legacy, func(ctx context.Context) error {
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
	return r.add(ctx, r.launchWeft, filepath.Join(r.data, socket)+", admin "+local(r.weftPort))
}

func (r *runner) launchWeft(ctx context.Context) (*stack.Process, error) {
	// The lock on the folder is held, so a socket there is the leftover of a weft that was killed.
	if err := os.RemoveAll(filepath.Join(r.data, socket)); err != nil {
		return nil, err
	}
	weft, err := stack.Start(stack.Command{
		Name: "weft",
		Path: r.bin.weft,
		Args: []string{"serve", "--listen", "unix:" + socket, "--admin", local(r.weftPort), "--drain-window", "0"},
		Env:  []string{"WEFT_MONGODB_URI=" + r.mongodbURI},
		Dir:  r.data,
		Log:  r.log("weft"),
	})
	if err != nil {
		return nil, err
	}
	return ready(ctx, weft, func(ctx context.Context) error {
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
	launch := func(ctx context.Context) (*stack.Process, error) {
		envoy, err := stack.StartEnvoy(ctx, stack.EnvoyOptions{Dir: r.data, Bootstrap: bootstrap, Log: r.log("envoy")})
		if err != nil {
			return nil, err
		}
		return envoy.Process, nil
	}
	return r.add(ctx, launch, local(r.port)+", admin "+local(r.adminPort))
}

func (r *runner) log(name string) string { return filepath.Join(r.data, name+".log") }

// add starts a child and notes that it runs.
func (r *runner) add(ctx context.Context, launch func(context.Context) (*stack.Process, error), address string) error {
	process, err := launch(ctx)
	if err != nil {
		return err
	}
	child := &child{launch: launch, died: r.died}
	child.began(process)
	r.children = append(r.children, child)
	r.rows = append(r.rows, row{process.Name(), strconv.Itoa(process.Pid()), address, process.Log()})
	return nil
}

// ready waits until the probe succeeds; a process that does not get there is ended.
func ready(ctx context.Context, process *stack.Process, probe func(context.Context) error) (*stack.Process, error) {
	if err := process.AwaitReady(ctx, probe); err != nil {
		return nil, errors.Join(err, process.Kill())
	}
	return process, nil
}
