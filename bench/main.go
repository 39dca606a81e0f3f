// Bench compares weft with its alternatives in one run: the variants share a legacy service, a mongod and an Envoy
// binary, and their measurements are interleaved. "make bench" runs it. The variants' servers are modes of this
// program, each in its own process.
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	weft, baseline, python string // paths of binaries; the last two may be empty
	module, noopModule     string // paths of libweft.so and libnoop.so; may be empty
	results                string
	length                 time.Duration
	rounds                 int
	only, part             string
	profile                string
}

func run(ctx context.Context) error {
	var o options
	var listen, legacy, mongodbURI, to string
	var delay time.Duration
	flag.StringVar(&o.weft, "weft", "bin/weft", "`path` of weft")
	flag.StringVar(&o.baseline, "baseline", "", "`path` of a weft of another commit, measured as \""+weftBefore+"\"")
	flag.StringVar(&o.module, "module", "", "`path` of libweft.so, measured as \""+weftInEnvoy+"\"")
	flag.StringVar(&o.noopModule, "noop-module", "", "`path` of libnoop.so, measured as \""+noopModule+"\"")
	flag.StringVar(&o.python, "python", "",
		"`path` of a Python with the packages of bench/aggregator/requirements.txt; required by the FastAPI aggregator")
	flag.StringVar(&o.results, "results", "bin/results", "`directory` for the results")
	flag.DurationVar(&o.length, "for", 3*time.Second, "length of each measurement")
	flag.IntVar(&o.rounds, "rounds", 3, "number of rounds")
	flag.StringVar(&o.only, "only", "", "comma-separated `words`: measure only variants whose name contains one of them")
	flag.StringVar(&o.part, "part", "",
		"comma-separated `parts`: loops, overlap, rules, scaling, selection, cached, distance (default all)")
	flag.StringVar(&o.profile, "profile", "", "measure nothing; write a CPU profile of weft under load to this `file`")
	flag.StringVar(&listen, "listen", "", "servers: host:port, or the path of the no-op's socket")
	flag.StringVar(&legacy, "legacy", "", "aggregator: URL of the legacy service")
	flag.StringVar(&mongodbURI, "mongodb-uri", "", "aggregator: connection string")
	flag.StringVar(&to, "to", "", "delay: host:port of the server behind the proxy")
	flag.DurationVar(&delay, "delay", 0, "delay: delay of each direction")
	flag.Parse()
	switch mode := flag.Arg(0); mode {
	case "":
		return bench(ctx, o)
	case "legacy":
		return serveLegacy(ctx, listen)
	case "noop":
		return serveNoop(ctx, listen)
	case "aggregator":
		return serveAggregator(ctx, listen, legacy, mongodbURI)
	case "delay":
		return serveDelayProxy(ctx, listen, to, delay)
	default:
		return fmt.Errorf("unknown mode %q", mode)
	}
}
