package harness

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// MongodOptions are options for StartMongod.
type MongodOptions struct {
	Dir  string   // data directory; created if it does not exist
	Port int      // on 127.0.0.1; 0 means a free one
	Log  string   // log file; empty means mongod.log in Dir
	Args []string // additional arguments
}

// Mongod is a running mongod on 127.0.0.1. After a kill, a new one with the same Dir recovers the data.
type Mongod struct {
	*Process
	options MongodOptions
}

// StartMongod starts a mongod and returns when it accepts commands. See [Start] for ctx. If the port is in use, the
// error wraps [ErrPortBusy] and contains the port.
func StartMongod(ctx context.Context, o MongodOptions) (*Mongod, error) {
	path, err := Tool("mongod")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create mongod's data directory: %w", err)
	}
	if o.Log == "" {
		o.Log = filepath.Join(o.Dir, "mongod.log")
	}
	mongod := &Mongod{options: o}
	mongod.Process, err = startOnPort(ctx, &mongod.options.Port, Command{
		Name: "mongod",
		Path: path,
		Log:  o.Log,
		Args: append([]string{
			"--dbpath", o.Dir,
			"--bind_ip", "127.0.0.1",
			"--nounixsocket",
			"--quiet",
			"--wiredTigerCacheSizeGB", "0.25",
			"--setParameter", "diagnosticDataCollectionEnabled=false",
		}, o.Args...),
		Ready: mongod.ready,
	})
	if err != nil {
		return nil, err
	}
	return mongod, nil
}

// Restart starts a mongod that has ended again, with the same data and port.
func (m *Mongod) Restart(ctx context.Context) error {
	restarted, err := StartMongod(ctx, m.options)
	if err == nil {
		m.Process = restarted.Process
	}
	return err
}

// URI returns the connection string, without a database.
func (m *Mongod) URI() string { return fmt.Sprintf("mongodb://127.0.0.1:%d", m.options.Port) }

// Run runs a command on a database. The server need not be a primary.
func (m *Mongod) Run(ctx context.Context, database string, command bson.D) (result bson.Raw, err error) {
	err = m.connect(ctx, func(c *mongo.Client) (err error) {
		result, err = c.Database(database).RunCommand(ctx, command).Raw()
		return err
	})
	return result, err
}

// Insert inserts documents into a namespace, database.collection.
func (m *Mongod) Insert(ctx context.Context, namespace string, documents ...any) error {
	return m.connect(ctx, func(c *mongo.Client) error {
		database, collection, _ := strings.Cut(namespace, ".")
		_, err := c.Database(database).Collection(collection).InsertMany(ctx, documents)
		return err
	})
}

func (m *Mongod) connect(ctx context.Context, use func(*mongo.Client) error) (err error) {
	client, err := mongo.Connect(options.Client().ApplyURI(m.URI()).SetDirect(true))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	return use(client)
}

// ready checks that the server on the port is this process, by its pid.
func (m *Mongod) ready(ctx context.Context, p *Process) error {
	// The driver waits half a second after a connection error.
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(m.options.Port))
	if err := Listening("tcp", address)(ctx, p); err != nil {
		return err
	}
	status, err := m.Run(ctx, "admin", bson.D{{Key: "serverStatus", Value: 1}})
	if err != nil {
		return err
	}
	if pid := status.Lookup("pid").AsInt64(); pid != int64(p.Pid()) {
		return fmt.Errorf("port %d belongs to the mongod with pid %d", m.options.Port, pid)
	}
	return nil
}
