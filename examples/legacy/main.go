// Legacy is the demo's legacy service: it serves users from an SQL database and responds like Spring Boot.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type config struct {
	listen       string
	db           string
	users        int
	faults       bool
	faultFile    string
	others       string
	cacheControl string
	writable     bool
	callers      bool
}

func main() {
	var c config
	flag.StringVar(&c.listen, "listen", "127.0.0.1:8081", "`host:port` to listen on")
	flag.StringVar(&c.db, "db", "legacy.db", "`path` of the SQLite database")
	flag.IntVar(&c.users, "users", 1000, "number of users to insert into an empty database")
	flag.BoolVar(&c.faults, "faults", false, "enable the query parameter fault=: "+validFaults)
	flag.StringVar(&c.faultFile, "fault-file", "",
		"`path` of a file with a fault for all requests without fault=; needs -faults, and the file need not exist")
	flag.StringVar(&c.others, "others", "", "`URL` of a server for requests that are not below /api/; empty: 404")
	flag.StringVar(&c.cacheControl, "cache-control", "",
		"`value` of cache-control in responses with a user, which then have an etag")
	flag.BoolVar(&c.writable, "writable", false, "enable PUT, which changes username and email of a user")
	flag.BoolVar(&c.callers, "callers", false, "add the request's authorization to the user, as caller")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "legacy: unexpected argument %q; see -help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c); err != nil {
		fmt.Fprintln(os.Stderr, "legacy:", err)
		os.Exit(1)
	}
}

// run serves until the context ends.
func run(ctx context.Context, c config) (err error) {
	others, err := forward(c.others)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another process; choose another address with -listen", c.listen)
	}
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.listen, err)
	}
	// Report a busy port before filling the database.
	store, err := openUsers(ctx, c.db, c.users)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, store.close()) }()

	server := &http.Server{
		Handler: &service{
			users: store, faults: c.faults, faultFile: c.faultFile, others: others,
			cacheControl: c.cacheControl, writable: c.writable, callers: c.callers,
		},
		ReadHeaderTimeout: 10 * time.Second,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(os.Stderr, "legacy: serving http://%s/api/v1/users/{userId}\n", listener.Addr())
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	// Open responses may finish, but not the slowest faults.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil {
		return server.Close()
	}
	return nil
}
