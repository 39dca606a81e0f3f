package cli

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v3"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"weft/enrich"
	"weft/enrich/mongostore"
	"weft/envoy"
	"weft/envoy/defaults"
	"weft/extproc"
	"weft/internal/observe"
	"weft/internal/rulesfile"
)

func serveCommand(version string) *cli.Command {
	s := &server{version: version}
	return &cli.Command{
		Name:  "serve",
		Usage: "serve Envoy's external processing filter",
		Description: `Serves until SIGTERM or SIGINT; then its health checks say that it stops, it takes exchanges for a drain window, and lets
those under way finish. A second signal ends it at once. A rules file
that changes is read again: good rules are for all exchanges from then on, and bad ones are refused with what is wrong,
while those from before go on. weft starts and stays up while MongoDB is down. It has no timeouts: Envoy's message_timeout says
how long an answer may wait for MongoDB, and the connection string has MongoDB's own.`,
		Flags: slices.Concat([]cli.Flag{rulesFlag(&s.rulesName)}, s.port.flags(),
			mongodbFlags("mongodb://localhost:27017", ""), s.joinFlags(), s.observeFlags(), s.drain.flags()),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			flush, err := s.configure(cmd)
			defer flush()
			if err != nil {
				return err
			}
			if err := s.port.validate(); err != nil {
				return err
			}
			return s.run(ctx)
		},
	}
}

// joinFlags returns the flags for the join and for what it tells of itself.
func (s *server) joinFlags() []cli.Flag {
	return []cli.Flag{
		stringVar(&s.admin, "admin", "127.0.0.1:9902", "WEFT_ADMIN",
			"`host:port` for /metrics, /livez and /readyz; empty for none"),
		boolVar(&s.pprof, "pprof", false, "WEFT_PPROF", "serve profiles on --admin, under /debug/pprof/"),
		&cli.Int64Flag{
			Name: "max-waiting-reads", Value: 1024, Sources: cli.EnvVars("WEFT_MAX_WAITING_READS"),
			Destination: &s.maxReads, Validator: atLeast[int64](1),
			Usage: "how many reads may wait for MongoDB; beyond it exchanges do not wait, and get no extension",
		},
		durationVar(&s.budget, "budget", 0, 0, "WEFT_BUDGET",
			"how long an answer may wait for MongoDB once the core is there, a little less than Envoy's "+
				"message_timeout; default: nine tenths of the rules file's message_timeout"),
	}
}

// configure reads the flags that need more than a parser, and makes the logger. flush must be called at the end, also after
// an error.
func (s *server) configure(cmd *cli.Command) (flush func(), err error) {
	s.registry = prometheus.NewRegistry()
	s.metrics = observe.NewMetrics(s.registry, s.version)
	dropped := func(lines int) { s.metrics.DroppedLines.Add(float64(lines)) }
	log, flush := observe.NonBlocking(cmd.Root().ErrWriter, dropped)
	if s.logger, err = s.newLogger(log); err != nil {
		return flush, err
	}
	if s.mongodbURI, err = mongodbURI(cmd); err != nil {
		return flush, err
	}
	s.mongodbURIFile = cmd.String("mongodb-uri-file")
	return flush, nil
}

// server is a weft that serves.
type server struct {
	rulesName, admin, version         string
	mongodbURI, mongodbURIFile        string
	logLevel, logFormat, otlpEndpoint string
	port                              port
	maxReads                          int64
	budget                            time.Duration
	pprof, serverTiming               bool
	drain                             drain

	logger   *slog.Logger
	registry *prometheus.Registry
	metrics  *observe.Metrics
	store    *mongostore.Store
	reads    enrich.Store         // of store, batched and limited
	report   func(*enrich.Report) // for each exchange that has ended
	rules    atomic.Pointer[extproc.Ruleset]

	health   *observe.Health
	stopping atomic.Bool
}

// run runs until the first signal, and a little longer.
func (s *server) run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// SIGHUP means "read your files again" to many servers, and would end weft without a drain.
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer close(hangUp)
	defer signal.Stop(hangUp)
	go func() {
		for range hangUp {
			s.logger.Info("SIGHUP does nothing: the rules file and certificates are read again when they change")
		}
	}()

	// Near the limit of the cgroup the garbage collector works harder, so that the kernel need not kill weft.
	if _, err := memlimit.Set(); err != nil {
		s.logger.Info("GOMEMLIMIT is not taken from a cgroup", "error", err)
	}
	file, stopJoin, err := s.startJoin(ctx)
	if err != nil {
		return err
	}
	defer stopJoin()
	processor := &extproc.Server{
		Rules:         s.rules.Load,
		Store:         s.reads,
		ServerTiming:  s.serverTiming,
		Report:        s.report,
		Misconfigured: func(fault string) { s.metrics.Misconfigurations.Inc(); s.logger.Warn(fault) },
		Panicked:      s.panicked,
	}
	grpcServer, err := s.grpcServer(s.registry, processor)
	if err != nil {
		return err
	}
	listener, err := extproc.Listen(s.port.listen)
	if err != nil {
		return err
	}
	processor.Register(grpcServer)
	health := newHealth() // of the server as a whole, and of the one service
	health.SetServingStatus(extprocv3.ExternalProcessor_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(grpcServer, health)

	served := make(chan error, 1)
	go func() { served <- grpcServer.Serve(listener) }()
	s.logger.Info("serving", "listen", s.port.listen, "version", s.version, "rules", len(file.Rules), "hash", file.Hash)

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop() // from here on a signal has its default effect: a second one ends weft at once
	if err := s.finish(grpcServer, health, served); err != nil {
		return err
	}

	s.closeStore()
	s.logger.Info("stopped")
	return nil
}

// startJoin starts all but the way into Envoy: rules, MongoDB, metrics and traces. What it starts ends with ctx, or when
// stop is called.
func (s *server) startJoin(ctx context.Context) (file *rulesfile.File, stop func(), err error) {
	// weft's heap is a few megabytes, so that Go would collect it all the time. make bench: a tenth of the CPU. The
	// environment's GOGC and GOMEMLIMIT are respected.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if file, err = loadRules(s.rulesName); err != nil {
		return nil, nil, err
	}
	s.health = observe.NewHealth(s.logger)
	if err := s.connectMongoDB(ctx); err != nil {
		return nil, nil, err
	}
	s.reads = enrich.Limit(enrich.Batch(s.store), s.maxReads)
	s.use(file)
	closeAdmin, err := s.serveAdmin(s.registry)
	if err != nil {
		return nil, nil, err
	}
	record, closeTraces, err := observe.Traces(ctx, s.otlpEndpoint, s.version, s.logger)
	if err != nil {
		closeAdmin()
		return nil, nil, fmt.Errorf("--otlp-endpoint: %w", err)
	}
	log := observe.Log(s.logger)
	s.report = func(r *enrich.Report) { s.metrics.Count(r); log(r); s.health.Watch(r); record(r) }
	go s.adviseIndexes(ctx, file.Rules)
	if s.rulesName != "" {
		go s.watch(ctx, file.Text)
	}
	return file, func() { closeTraces(); closeAdmin() }, nil
}

// panicked reports a panic in an exchange.
func (s *server) panicked(rule string, err *enrich.PanicError) {
	s.metrics.Panics.Inc()
	s.logger.Error("panic in an exchange, whose legacy response passes", "rule", rule, "error", err, "stack", string(err.Stack))
}

// closeStore closes the connections to MongoDB. With all exchanges over no read is under way, so there is nothing to wait for.
func (s *server) closeStore() {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.store.Close(now)
}

// use makes the rules of a file those of all exchanges from now on.
func (s *server) use(f *rulesfile.File) {
	for _, w := range f.Warnings {
		s.logger.Warn(w.Error())
	}
	s.metrics.Rules(f.Hash, f.Rules)
	ruleset := extproc.NewRuleset(f.Rules, envoy.Fingerprint(f.Rules))
	ruleset.Budget = cmp.Or(s.budget, defaults.Budget(cmp.Or(f.Envoy.MessageTimeout, defaults.MessageTimeout)))
	s.rules.Store(ruleset)
}

// watch applies changes of the rules file.
func (s *server) watch(ctx context.Context, current []byte) {
	rulesfile.Watch(ctx, s.rulesName, current, func(f *rulesfile.File, err error) {
		s.metrics.Reloaded(err == nil)
		if err != nil {
			s.logger.Error("the rules file is refused; the rules from before go on", "error", err)
			return
		}
		before := s.rules.Load().EnvoyConfig()
		s.use(f)
		s.logger.Info("new rules", "rules", len(f.Rules), "hash", f.Hash)
		if now := s.rules.Load().EnvoyConfig(); now != before {
			s.logger.Warn("Envoy configuration differs: regenerate it with weft envoy --rules "+s.rulesName, "before", before, "now", now)
		}
		go s.adviseIndexes(ctx, f.Rules)
	})
}

// adviseIndexes warns of reads that scan a whole collection. MongoDB may be down for now: the driver waits for it as
// long as the connection string says, and the next try follows.
func (s *server) adviseIndexes(ctx context.Context, rules []*enrich.Rule) {
	asked, seen := map[string]bool{}, map[string]bool{}
	for _, r := range rules {
		for _, src := range r.Sources {
			of := mongostore.Indexed(src)
			if asked[of] {
				continue
			}
			asked[of] = true
			advice, err := s.store.IndexAdvice(ctx, src)
			if mongostore.IsUnavailable(err) && ctx.Err() == nil {
				s.logger.Warn("MongoDB does not answer; until it does, extensions are null", "error", err)
				s.health.Set(true)
			}
			for mongostore.IsUnavailable(err) && ctx.Err() == nil {
				if advice, err = s.store.IndexAdvice(ctx, src); err == nil {
					s.health.Set(false)
				}
			}
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				s.logger.Warn("could not look for an index", "error", err)
			case advice != "" && !seen[advice]:
				seen[advice] = true
				s.logger.Warn("no index on the key: each read scans the whole collection", "rule", r.Name, "run in mongosh", advice)
			}
		}
	}
}
