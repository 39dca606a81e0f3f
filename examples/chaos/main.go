// Chaos kills, freezes and stops a mongod, a legacy service, a Redis and weft while clients send requests to Envoy, and
// compares every byte of the responses. With caches, others change the users, and the clients know the history of each
// user. "make chaos" runs it. It prints a Markdown table. The exit status is 1 if a response is wrong, or if caches
// should hide an outage and more than 1 % of the responses without credentials are not whole.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"weft/test/harness"
)

func main() {
	o := options{users: harness.Users - 1} // the legacy service has no user 0
	flag.StringVar(&o.weft, "weft", "bin/weft", "`path` of weft")
	flag.StringVar(&o.legacy, "legacy", "bin/legacy", "`path` of the demo's legacy service")
	flag.StringVar(&o.library, "library", "",
		"run weft in Envoy's process: `path` of libweft.so; scenarios that end weft's process are left out")
	flag.DurationVar(&o.length, "for", 20*time.Second, "duration of each scenario")
	flag.IntVar(&o.clients, "clients", 64,
		"number of clients; scenarios with a frozen or missing MongoDB use at least 200")
	flag.DurationVar(&o.messageTimeout, "message-timeout", time.Second,
		"how long Envoy waits for weft; set it higher on a busy machine")
	flag.StringVar(&o.only, "only", "", "run only scenarios whose names contain this `text`")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	wrong, err := run(ctx, o, os.Stdout)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	case wrong > 0:
		fmt.Fprintf(os.Stderr, "chaos: %d wrong\n", wrong)
		os.Exit(1)
	}
}

type options struct {
	weft, legacy   string // paths of the binaries
	library        string // path of libweft.so; empty for weft as an external processor
	length         time.Duration
	clients, users int
	messageTimeout time.Duration
	only           string
}
