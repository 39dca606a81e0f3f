package cli

import (
	"cmp"
	"context"
	"errors"
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
	"weft/enrich/cache"
	"weft/enrich/mongostore"
	"weft/envoy"
	"weft/envoy/defaults"
	"weft/extproc"
	"weft/internal/envoyhttp"
	"weft/internal/observe"
	"weft/internal/rulesfile"
	"weft/internal/watchfile"
)

func serveCommand(version string) *cli.Command {
	s := &server{version: version}
	return &cli.Command{
		Name:  "serve",
		Usage: "serve Envoy's external processing filter",
		Description: `Serves until SIGTERM or SIGINT. Then health checks fail, weft accepts exchanges for the drain
window, and open exchanges finish. A second signal stops weft immediately.

weft reloads the rules file when it changes. New exchanges use the new rules. If the file has errors,
weft logs them and the previous rules stay in use. weft starts and runs without MongoDB; extensions
are then null.`,
		Flags: slices.Concat([]cli.Flag{rulesFlag(&s.rulesName)}, s.port.flags(),
			mongodbFlags("mongodb://localhost:27017", ""), s.coreFlags(), s.joinFlags(), s.observeFlags(), s.drain.flags()),
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

// joinFlags returns the flags for reads, metrics and profiles.
func (s *server) joinFlags() []cli.Flag {
	return []cli.Flag{
		stringVar(&s.admin, "admin", "127.0.0.1:9902", "WEFT_ADMIN",
			"`host:port` for /metrics, /livez and /readyz; empty: disabled"),
		boolVar(&s.pprof, "pprof", false, "WEFT_PPROF", "serve profiles on --admin, under /debug/pprof/"),
		&cli.Int64Flag{
			Name: "max-waiting-reads", Value: 1024, Sources: cli.EnvVars("WEFT_MAX_WAITING_READS"),
			Destination: &s.maxReads, Validator: atLeast[int64](1),
			Usage: "maximum number of reads waiting for MongoDB; further exchanges get no extension",
		},
		durationVar(&s.budget, "budget", 0, 0, "WEFT_BUDGET",
			"how long an exchange waits for MongoDB after the core has arrived; set it a little less than "+
				"Envoy's message_timeout; default: nine tenths of the rules file's message_timeout"),
	}
}

// configure creates the logger and the metrics, and gets the URI of MongoDB from the flags. The caller must call flush
// at the end, also after an error.
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
	if s.redisURL, err = redisSource.value(cmd); err != nil {
		return flush, err
	}
	s.redisURLFile = cmd.String("redis-url-file")
	return flush, nil
}

// server is the state of weft serve.
type server struct {
	rulesName, admin, version         string
	mongodbURI, mongodbURIFile        string
	redisURL, redisURLFile            string
	coreCacheSize                     string
	logLevel, logFormat, otlpEndpoint string
	port                              port
	maxReads                          int64
	budget                            time.Duration
	pprof, serverTiming               bool
	isModule                          bool // in Envoy's process
	drain                             drain

	logger   *slog.Logger
	registry *prometheus.Registry
	metrics  *observe.Metrics
	store    *mongostore.Store
	reads    *cache.Store         // store with batching, a limit and caches
	cores    enrich.CoreStore     // for rules that keep cores
	report   func(*enrich.Report) // called at the end of each exchange
	rules    atomic.Pointer[extproc.Ruleset]

	localCores enrich.CoreStore   // with Redis; stands in for it
	closeCores func()             // closes cores and localCores
	stopAdvice context.CancelFunc // ends adviseIndexes for the rules in use

	health   *observe.Health
	stopping atomic.Bool
}

// run serves until the first signal, and then drains.
func (s *server) run(ctx context.Context) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	// Many servers reload their configuration on SIGHUP; its default action would stop weft without a drain.
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer close(hangUp)
	defer signal.Stop(hangUp)
	go func() {
		for range hangUp {
			s.logger.Info("ignoring SIGHUP; the rules file and certificates are reloaded when they change")
		}
	}()

	// Set GOMEMLIMIT from the cgroup's memory limit, so that the garbage collector works harder before the kernel kills
	// weft.
	if _, err := memlimit.Set(); err != nil {
		s.logger.Info("memory limit not set from cgroup", "error", err)
	}
	file, stopJoin, err := s.startJoin(ctx)
	if err != nil {
		return err
	}
	defer stopJoin()
	var idle idle
	processor := &extproc.Server{
		Rules:        s.rules.Load,
		Store:        s.reads,
		Cores:        s.newCores(),
		ServerTiming: s.serverTiming,
		Report:       func(r *enrich.Report) { s.report(r); idle.watch() },
		Misconfigured: func(fault string) {
			s.metrics.Misconfigurations.Inc()
			s.logger.Warn("envoy misconfigured", "error", fault)
		},
		Panicked: s.panicked,
		Open:     s.metrics.AddOpen,
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
	health := newHealth() // has the status of the server; the next line adds the service's
	health.SetServingStatus(extprocv3.ExternalProcessor_ServiceDesc.ServiceName, healthpb.HealthCheckResponse_SERVING)
	healthpb.RegisterHealthServer(grpcServer, health)

	go idle.warn(ctx, s.logger)

	served := make(chan error, 1)
	go func() { served <- grpcServer.Serve(listener) }()
	s.logger.Info("serving", "listen", s.port.listen, "version", s.version, "rules", len(file.Rules), "hash", file.Hash)

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop() // restore the default action: a second signal ends weft immediately
	if err := s.finish(grpcServer, health, served); err != nil {
		return err
	}

	s.closeStores()
	s.logger.Info("stopped")
	return nil
}

// startJoin starts the parts that do not depend on how Envoy calls weft: rules, MongoDB, metrics and traces. To stop
// them, cancel ctx and call stop.
func (s *server) startJoin(ctx context.Context) (file *rulesfile.File, stop func(), err error) {
	// The heap is a few megabytes, so with the default of 100 garbage collection takes a tenth of the CPU (make bench).
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
	observe.Cache(s.registry, s.reads.Stats)
	if err := s.openCores(ctx); err != nil {
		return nil, nil, err
	}
	s.applyRules(ctx, file)
	closeAdmin, err := s.serveAdmin(ctx, s.registry)
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
	if s.rulesName != "" {
		go s.watch(ctx, file.Text)
	}
	return file, func() { closeTraces(); closeAdmin() }, nil
}

// panicked reports a panic in an exchange.
func (s *server) panicked(rule string, err *enrich.PanicError) {
	s.metrics.Panics.Inc()
	s.logger.Error("panic in exchange; the legacy response passes",
		"rule", rule, "error", err, "stack", string(err.Stack))
}

// closeStores ends the change streams and closes the connections to MongoDB and Redis. All exchanges have ended, so no
// read is in progress and Close need not wait. If startJoin has failed, there may be no connections.
func (s *server) closeStores() {
	if s.closeCores != nil {
		s.closeCores()
	}
	if s.store == nil {
		return
	}
	s.reads.Close()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.store.Close(now)
}

// applyRules sets the rules for new exchanges.
func (s *server) applyRules(ctx context.Context, f *rulesfile.File) {
	for _, w := range f.Warnings {
		s.logger.Warn("rules file warning", "warning", w.Error())
	}
	for _, r := range f.Rules {
		if s.port.message > 0 && r.CoreLimit+envoyhttp.BufferSlack > s.port.message { // 0 means no limit, in Envoy's process
			s.logger.Warn("core limit exceeds --max-message-bytes; larger cores pass", "rule", r.Name,
				"core_limit", r.CoreLimit, "max_message_bytes", s.port.message)
		}
	}
	s.metrics.Rules(f.Hash, f.Rules)
	ruleset := extproc.NewRuleset(f.Rules, envoy.Fingerprint(f.Rules))
	ruleset.Budget = cmp.Or(s.budget, defaults.Budget(f.Envoy.MessageTimeout))
	s.reads.Use(f.Rules)
	s.rules.Store(ruleset)
	if s.stopAdvice != nil {
		s.stopAdvice() // it is about other rules
	}
	ctx, s.stopAdvice = context.WithCancel(ctx)
	go s.adviseIndexes(ctx, f.Rules)
}

// reportPolling reports that changes of files are seen late.
func (s *server) reportPolling(files string, err error) {
	s.metrics.FilesPolled.Set(1)
	s.logger.Warn("polling files; raise fs.inotify.max_user_instances", "files", files, "error", err)
}

// watch applies changes of the rules file.
func (s *server) watch(ctx context.Context, current []byte) {
	names := func() []string { return []string{s.rulesName} }
	watchfile.Watch(ctx, names, [][]byte{current}, func(contents [][]byte, err error) {
		var f *rulesfile.File
		if err == nil {
			f, err = rulesfile.Parse(s.rulesName, contents[0])
		} else {
			err = fmt.Errorf("rules file: %w", err)
		}
		s.metrics.Reloaded(err == nil)
		if err != nil {
			s.logger.Error("rules file rejected; the previous rules stay in use", "error", err)
			return
		}
		before := s.rules.Load().EnvoyConfig()
		s.applyRules(ctx, f)
		s.logger.Info("rules reloaded", "rules", len(f.Rules), "hash", f.Hash)
		if now := s.rules.Load().EnvoyConfig(); now != before {
			s.logger.Warn("envoy configuration differs; regenerate it",
				"run", "weft envoy --rules "+s.rulesName, "before", before, "now", now)
		}
	}, func(err error) { s.reportPolling("rules", err) })
}

// watched logs that the changes of a collection are reported, or not.
func (s *server) watched(database, collection string, err error) {
	of := slog.String("collection", database+"."+collection)
	switch {
	case err == nil:
		s.logger.Info("cache follows the change stream", of)
	case errors.Is(err, mongostore.ErrNoChangeStream):
		s.logger.Warn(noChangeStream, of, "error", err)
	default:
		s.logger.Warn("change stream failed; the cache is not used until it is resumed", of, "error", err)
	}
}

// noChangeStream is a warning of weft serve and weft check.
const noChangeStream = "no change stream; cached documents are up to max_age old"

// noIndex is a warning of weft serve and weft check.
const noIndex = "no index on the key; each read scans the whole collection"

// adviseIndexes logs a warning for each collection without an index on the key. While MongoDB is unavailable it
// retries; the driver's server selection timeout paces the attempts.
func (s *server) adviseIndexes(ctx context.Context, rules []*enrich.Rule) {
	checked := map[string]bool{}
	for _, r := range rules {
		for _, src := range r.Sources {
			index := mongostore.Indexed(src)
			if checked[index] {
				continue
			}
			checked[index] = true
			advice, err := s.store.IndexAdvice(ctx, src)
			if mongostore.IsUnavailable(err) && ctx.Err() == nil {
				s.logger.Warn("mongodb unavailable; extensions are null", "error", err)
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
				s.logger.Warn("index check failed", "error", err)
			case advice != "":
				s.logger.Warn(noIndex, "rule", r.Name, "mongosh", advice)
			}
		}
	}
}
