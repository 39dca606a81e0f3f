package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// MongodOptions says how to start a mongod.
type MongodOptions struct {
	Dir  string   // holds its data; made when it does not exist
	Port int      // of 127.0.0.1; 0 picks a free one
	Log  string   // log file; "" means mongod.log in Dir
	Args []string // more arguments for mongod
}

// Mongod is a running mongod, one without a replica set, on 127.0.0.1 only. End it with Stop, or with Kill to see what a
// crash does: the next start in the same Dir recovers.
type Mongod struct {
	*Process
	port    int
	options MongodOptions
}

// StartMongod starts a mongod and returns when it answers. The context limits the start, not the life of the server. A
// busy port is an error that wraps ErrPortBusy and names the port.
func StartMongod(ctx context.Context, o MongodOptions) (*Mongod, error) {
	path, err := Tool("mongod")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("mongod needs a folder for its data: %w", err)
	}
	if o.Log == "" {
		o.Log = filepath.Join(o.Dir, "mongod.log")
	}
	if o.Port != 0 {
		return startMongod(ctx, path, o)
	}
	for attempt := 1; ; attempt++ {
		if o.Port, err = FreePort(); err != nil {
			return nil, err
		}
		mongod, err := startMongod(ctx, path, o)
		if err == nil || attempt == 5 || !errors.Is(err, ErrPortBusy) {
			return mongod, err
		}
	}
}

func startMongod(ctx context.Context, path string, o MongodOptions) (*Mongod, error) {
	if err := CheckPort(o.Port); err != nil {
		return nil, fmt.Errorf("mongod: %w", err)
	}
	process, err := Start(Command{
		Name: "mongod",
		Path: path,
		Log:  o.Log,
		Args: append([]string{
			"--dbpath", o.Dir,
			"--port", strconv.Itoa(o.Port),
			"--bind_ip", "127.0.0.1",
			"--nounixsocket",
			"--quiet",
			"--wiredTigerCacheSizeGB", "0.25",
			"--setParameter", "diagnosticDataCollectionEnabled=false",
		}, o.Args...),
	})
	if err != nil {
		return nil, err
	}
	mongod := &Mongod{Process: process, port: o.Port, options: o}
	if err := process.AwaitReady(ctx, mongod.answers); err != nil {
		if busy := CheckPort(o.Port); process.Err() != nil && errors.Is(busy, ErrPortBusy) {
			err = fmt.Errorf("mongod: %w", busy) // taken between the check and the start
		}
		return nil, errors.Join(err, process.Kill())
	}
	return mongod, nil
}

// URI is the connection string, without a database.
func (m *Mongod) URI() string { return fmt.Sprintf("mongodb://127.0.0.1:%d", m.port) }

// Options start the same server again, when it has ended: with the same data, on the same port.
func (m *Mongod) Options() MongodOptions { return m.options }

// answers asks the server on the port for its process number, so that another server there is not taken for this one.
func (m *Mongod) answers(ctx context.Context) (err error) {
	// The driver waits half a second after each refused connection; a plain dial tells sooner.
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(m.port)))
	if err != nil {
		return err
	}
	if err := connection.Close(); err != nil {
		return err
	}
	client, err := mongo.Connect(options.Client().ApplyURI(m.URI()).SetDirect(true))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	var status struct {
		Pid int64 `bson:"pid"`
	}
	if err := client.Database("admin").RunCommand(ctx, bson.D{{Key: "serverStatus", Value: 1}}).Decode(&status); err != nil {
		return err
	}
	if status.Pid != int64(m.Pid()) {
		return fmt.Errorf("port %d belongs to the mongod with pid %d", m.port, status.Pid)
	}
	return nil
}
