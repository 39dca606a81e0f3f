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

	"github.com/redis/go-redis/v9"
)

// RedisOptions are options for StartRedis.
type RedisOptions struct {
	Dir  string   // working directory; created if it does not exist
	Port int      // on 127.0.0.1; 0 means a free one
	Args []string // additional arguments
}

// Redis is a running redis-server on 127.0.0.1, without persistence.
type Redis struct {
	*Process
	Options RedisOptions // with the port
}

// StartRedis starts a redis-server and returns when it accepts commands. See [Start] for ctx. If the port is in use,
// the error wraps [ErrPortBusy].
func StartRedis(ctx context.Context, o RedisOptions) (*Redis, error) {
	path, err := Tool("redis-server")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("create redis-server's directory: %w", err)
	}
	server := &Redis{Options: o}
	server.Process, err = startOnPort(ctx, &server.Options.Port, Command{
		Name: "redis-server",
		Path: path,
		Log:  filepath.Join(o.Dir, "redis-server.log"),
		Args: append([]string{
			"--dir", o.Dir,
			"--bind", "127.0.0.1",
			"--save", "",
		}, o.Args...),
		Ready: server.ready,
	})
	if err != nil {
		return nil, err
	}
	return server, nil
}

// Addr returns the host:port.
func (r *Redis) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.Options.Port)) }

// URL returns the URL for clients.
func (r *Redis) URL() string { return "redis://" + r.Addr() }

// Run runs a command, as the user "default" without a password, and returns its result as text.
func (r *Redis) Run(ctx context.Context, command ...any) (string, error) {
	client := redis.NewClient(&redis.Options{Addr: r.Addr(), MaxRetries: -1, DisableIdentity: true})
	result, err := client.Do(ctx, command...).Result()
	if closeErr := client.Close(); err == nil {
		err = closeErr
	}
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return fmt.Sprint(result), err
}

// ready checks that the server on the port is this process, by its pid.
func (r *Redis) ready(ctx context.Context, p *Process) error {
	if err := Listening("tcp", r.Addr())(ctx, p); err != nil {
		return err
	}
	info, err := r.Run(ctx, "INFO", "server")
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", p.Pid())) {
		return fmt.Errorf("port %d belongs to another process", r.Options.Port)
	}
	return nil
}
