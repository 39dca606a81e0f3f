// Bench compares weft with what a team would build instead, in one run: the variants take turns over the same legacy
// service, the same mongod and the same Envoy binary. It is behind "make bench". The servers of the variants are modes of this same
// program, each in a process of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
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

func run(ctx context.Context) error {
	var o options
	var listen, legacy, mongodbURI string
	flag.StringVar(&o.weft, "weft", "bin/weft", "`path` of weft")
	flag.StringVar(&o.python, "python", "", "`path` of a Python that has bench/aggregator/requirements.txt; empty leaves FastAPI out")
	flag.StringVar(&o.results, "results", "bench/results", "`folder` for the results")
	flag.DurationVar(&o.length, "for", 3*time.Second, "how long each measurement takes")
	flag.IntVar(&o.rounds, "rounds", 3, "how often the variants take turns")
	flag.StringVar(&o.only, "only", "", "only the variants whose names have one of these `words`, with commas between")
	flag.StringVar(&o.part, "part", "", "only these `parts`: loops, overlap, rules, scaling, protocol, instructions (needs valgrind), with commas between")
	flag.StringVar(&o.pgo, "pgo", "", "do nothing but write a CPU profile of weft under load into this `file`")
	flag.StringVar(&listen, "listen", "", "of a server: host:port or path of a socket")
	flag.StringVar(&legacy, "legacy", "", "of the aggregator: URL of the legacy service")
	flag.StringVar(&mongodbURI, "mongodb-uri", "", "of the aggregator")
	flag.Parse()
	switch mode := flag.Arg(0); mode {
	case "":
		return bench(ctx, o)
	case "legacy":
		return serveLegacy(ctx, listen)
	case nothing, looping, changing, allHeaders, twoMessages:
		return serveNoop(ctx, listen, mode)
	case "aggregator":
		return serveAggregator(ctx, listen, legacy, mongodbURI)
	default:
		return fmt.Errorf("no such mode: %q", mode)
	}
}

type options struct {
	weft, python, results string
	length                time.Duration
	rounds                int
	only, part            string
	pgo                   string
}

// contains reports whether a name has one of the words, which have commas between; without any, all names do.
func contains(words, name string) bool {
	for word := range strings.SplitSeq(words, ",") {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// wantsPart reports whether a part is to be measured. A profile is taken in the first.
func (o options) wantsPart(p part) bool {
	if o.pgo != "" {
		return p.name == "loops"
	}
	return o.part == "" && !p.counted || slices.Contains(strings.Split(o.part, ","), p.name)
}
