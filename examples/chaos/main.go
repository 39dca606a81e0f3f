// Chaos kills, freezes and stops a mongod, a legacy service and weft, each a process, while clients send requests to a
// real Envoy, and compares every byte of the answers. "make chaos" runs it. It prints a Markdown table and exits with 1
// if an answer was wrong.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.weft, "weft", "bin/weft", "`path` of weft")
	flag.StringVar(&o.legacy, "legacy", "bin/legacy", "`path` of the demo's legacy service")
	flag.DurationVar(&o.length, "for", 30*time.Second, "how long each scenario goes on")
	flag.IntVar(&o.clients, "clients", 64,
		"number of clients; at least 200 in the scenarios with a frozen or missing MongoDB")
	flag.DurationVar(&o.messageTimeout, "message-timeout", time.Second,
		"how long Envoy waits for weft; longer on a machine that is too busy to answer in time")
	flag.StringVar(&o.only, "only", "", "only the scenarios with this `text` in their names")
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
	length         time.Duration
	clients        int
	messageTimeout time.Duration
	only           string
}
