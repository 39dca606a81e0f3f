// Demo starts a mongod, a legacy service, weft and Envoy, for "make run" and "make demo". Environment variables set
// ports and the data directory, or addresses of the user's own services.
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
	flag.StringVar(&page, "page", "",
		"`directory` of a page to serve at /, with a control endpoint that stops and freezes processes")
	flag.Parse()
	os.Exit(demo(binaries, page))
}

// demo runs the demo and returns the exit status: 0 after a clean stop by the user.
func demo(binaries binaries, page string) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	kill := watchSignals(cancel)

	c, err := configure(os.Getenv)
	if err == nil {
		err = c.usePage(page)
	}
	if err == nil {
		err = run(ctx, c, binaries, kill)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

// watchSignals calls cancel at the first SIGINT, SIGTERM or SIGHUP, and closes the returned channel at the second.
func watchSignals(cancel context.CancelFunc) <-chan struct{} {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	second := make(chan struct{})
	go func() {
		first := <-signals
		at := time.Now()
		fmt.Printf("\n%v: stopping …\n", first)
		cancel()
		for range signals {
			// One Ctrl-C may arrive twice, from make and for the process group; a user takes longer.
			if time.Since(at) > 500*time.Millisecond {
				close(second)
				return
			}
		}
	}()
	return second
}
