package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"

	stack "weft/test/harness"
)

// testbed runs what all variants share, a legacy service and a mongod, and the variants of the part that is measured.
type testbed struct {
	options
	dir       string
	files     int              // number of names that file has returned
	processes []*stack.Process // in the order in which they were started
	shared    int              // number of processes that all parts share

	mongod *stack.Mongod
	mongo  *mongo.Client // connected directly
	legacy *stack.Process
	// legacyAddr is host:port of the legacy service; readURI is the connection string of the variants.
	legacyAddr, readURI string

	variants []*variant
}

// start starts mongod, with a document for each user, and the legacy service.
func (b *testbed) start(ctx context.Context) (err error) {
	if b.dir, err = os.MkdirTemp("", "weft-bench"); err != nil {
		return err
	}
	mongodDir := filepath.Join(b.dir, "mongod")
	if b.mongod, err = stack.StartMongod(ctx, stack.MongodOptions{Dir: mongodDir}); err != nil {
		return err
	}
	b.processes = append(b.processes, b.mongod.Process)
	if b.mongo, err = mongo.Connect(mongooptions.Client().ApplyURI(b.mongod.URI())); err != nil {
		return err
	}
	if err := seed(ctx, profiles(b.mongo)); err != nil {
		return err
	}
	b.legacyAddr, b.legacy, err = b.startSelf(ctx, "legacy")
	b.shared = len(b.processes)
	return err
}

// stop ends all processes and removes their files.
func (b *testbed) stop() error {
	var err error
	if b.mongo != nil {
		err = b.mongo.Disconnect(context.Background())
	}
	return errors.Join(err, b.kill(0), os.RemoveAll(b.dir))
}

func (b *testbed) stopVariants() error {
	b.variants = nil
	return b.kill(b.shared)
}

// kill ends the processes from first on, the last one first.
func (b *testbed) kill(first int) error {
	var errs []error
	for _, p := range slices.Backward(b.processes[first:]) {
		errs = append(errs, p.Kill())
	}
	b.processes = b.processes[:first]
	return errors.Join(errs...)
}

// file returns the path of a new file.
func (b *testbed) file(name string) string {
	b.files++
	return filepath.Join(b.dir, fmt.Sprintf("%d-%s", b.files, strings.ReplaceAll(name, " ", "-")))
}

// startSelf starts a server of this program and returns its address.
func (b *testbed) startSelf(ctx context.Context, mode string, args ...string) (string, *stack.Process, error) {
	addr, err := freeAddr()
	if err != nil {
		return "", nil, err
	}
	p, err := b.startProcess(mode, os.Args[0], nil, append([]string{"-listen", addr}, append(args, mode)...)...)
	if err != nil {
		return "", nil, err
	}
	return addr, p, awaitListener(ctx, p, "tcp", addr)
}

func (b *testbed) startProcess(name, path string, env []string, args ...string) (*stack.Process, error) {
	p, err := stack.Start(stack.Command{Name: name, Path: path, Args: args, Env: env, Log: b.file(name + ".log")})
	if err == nil {
		b.processes = append(b.processes, p)
	}
	return p, err
}

func freeAddr() (string, error) {
	port, err := stack.FreePort()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

// awaitListener returns when a process accepts connections.
func awaitListener(ctx context.Context, p *stack.Process, network, addr string) error {
	return p.AwaitReady(ctx, func(ctx context.Context) error {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return err
		}
		return c.Close()
	})
}
