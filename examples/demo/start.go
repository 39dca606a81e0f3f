package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"

	"weft/test/harness"
)

func (r *runner) startMongod(ctx context.Context) error {
	if r.mongoPort == 0 {
		r.rows = append(r.rows, row{"mongodb", "yours", hosts(r.mongodbURI), ""})
		return nil
	}
	fmt.Println("starting mongod …")
	o := harness.MongodOptions{Dir: filepath.Join(r.data, "mongodb"), Port: r.mongoPort, Log: r.log("mongod")}
	if r.page != "" { // the page shows changes, which need a replica set
		o.Args = []string{"--replSet", replicaSet}
	}
	launch := func(ctx context.Context) (*harness.Process, error) {
		mongod, err := harness.StartMongod(ctx, o)
		if err != nil {
			return nil, err
		}
		if r.page != "" {
			if err := awaitPrimary(ctx, mongod); err != nil {
				return nil, errors.Join(err, mongod.Kill())
			}
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
	if err := (legacyFault{r.faultFile()}).do(ctx, "run"); err != nil { // the fault of a previous demo
		return err
	}
	return r.add(ctx, r.launchLegacy, r.legacy)
}

func (r *runner) launchLegacy(ctx context.Context) (*harness.Process, error) {
	return harness.Start(ctx, harness.Command{
		Name: "legacy",
		Path: r.bin.legacy,
		Args: []string{
			"-listen", r.legacy, "-db", filepath.Join(r.data, "legacy.db"), "-faults", "-fault-file", r.faultFile(),
			"-others", r.pageURL,
		},
		Log:   r.log("legacy"),
		Ready: harness.Serving("http://" + r.legacy + "/api/v1/users/1"),
	})
}

// socket is relative to the data directory, the working directory of weft and Envoy, because a socket path has at most
// 107 bytes.
const socket = "weft.sock"

func (r *runner) startWeft(ctx context.Context) error {
	fmt.Println("starting weft …")
	return r.add(ctx, r.launchWeft, filepath.Join(r.data, socket)+", admin "+local(r.weftPort))
}

func (r *runner) launchWeft(ctx context.Context) (*harness.Process, error) {
	return harness.Start(ctx, harness.Command{
		Name:  "weft",
		Path:  r.bin.weft,
		Args:  r.withRules("serve", "--listen", "unix:"+socket, "--admin", local(r.weftPort), "--drain-window", "0"),
		Env:   []string{"WEFT_MONGODB_URI=" + r.mongodbURI},
		Dir:   r.data,
		Log:   r.log("weft"),
		Ready: harness.WeftReady,
	})
}

func (r *runner) startEnvoy(ctx context.Context) error {
	fmt.Println("starting Envoy …")
	args := r.withRules("--legacy", r.legacy, "--listen", local(r.port), "--admin", local(r.adminPort))
	address := local(r.port) + ", admin " + local(r.adminPort)
	var env []string
	if r.module {
		args = append(args, "--mode", "module", "--module-library", r.bin.library(),
			"--module-config", fmt.Sprintf(`{"admin": %q}`, local(r.weftPort)))
		address += ", weft in Envoy: admin " + local(r.weftPort)
		env = []string{"WEFT_MONGODB_URI=" + r.mongodbURI}
	} else {
		args = append(args, "--weft", "unix:"+socket)
	}
	bootstrap, err := harness.Bootstrap(ctx, r.bin.weft, args...)
	if err != nil {
		return err
	}
	launch := func(ctx context.Context) (*harness.Process, error) {
		envoy, err := harness.StartEnvoy(ctx, harness.EnvoyOptions{
			Dir: r.data, Bootstrap: bootstrap, Log: r.log("envoy"), Env: env,
		})
		if err != nil {
			return nil, err
		}
		return envoy.Process, nil
	}
	return r.add(ctx, launch, address)
}

// withRules adds the rules file to arguments of weft.
func (r *runner) withRules(args ...string) []string {
	if r.rules == "" {
		return args
	}
	return append(args, "--rules", r.rules)
}

func (r *runner) log(name string) string { return filepath.Join(r.data, name+".log") }

// add starts a child and adds it to the guide.
func (r *runner) add(
	ctx context.Context, launch func(context.Context) (*harness.Process, error), address string,
) error {
	process, err := launch(ctx)
	if err != nil {
		return err
	}
	child := &child{launch: launch, died: r.died}
	child.setProcess(process)
	r.children = append(r.children, child)
	r.rows = append(r.rows, row{process.Name(), strconv.Itoa(process.Pid()), address, process.Log()})
	return nil
}
