// Demo runs weft for real: a mongod, a legacy service, weft and an Envoy, each a process of its own. It is behind
// "make run" and "make demo". Environment variables choose ports and the data folder, or name services of the user's own.
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
	var binaries binaries
	var page string
	flag.StringVar(&binaries.weft, "weft", "bin/weft", "`path` of weft")
	flag.StringVar(&binaries.legacy, "legacy", "bin/legacy", "`path` of the demo's legacy service")
	flag.StringVar(&page, "page", "", "`folder` of a page to serve at /, with a control endpoint that stops and freezes processes")
	flag.Parse()
	os.Exit(demo(binaries, page))
}

// demo returns the exit status: 0 when the user stopped it and everything ended in order.
func demo(binaries binaries, page string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	hurry := watchSignals(cancel)

	c, err := configure(os.Getenv)
	if err == nil {
		err = c.usePage(page)
	}
	if err == nil {
		err = run(ctx, c, binaries, hurry)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

// watchSignals cancels the context at the first Ctrl-C, SIGTERM or hang-up, and closes the channel that it returns at a
// second one.
func watchSignals(cancel context.CancelFunc) <-chan struct{} {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	hurry := make(chan struct{})
	go func() {
		first := <-signals
		at := time.Now()
		fmt.Printf("\n%v: stopping …\n", first)
		cancel()
		for range signals {
			// One kill can arrive twice, from make and from the group of processes; a person takes longer.
			if time.Since(at) > 500*time.Millisecond {
				close(hurry)
				return
			}
		}
	}()
	return hurry
}
