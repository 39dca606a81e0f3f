// Weft is an external processor for Envoy: it joins the responses of a REST service with documents of MongoDB.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"

	"weft/enrich"
	"weft/enrich/mongostore"
	"weft/envoy"
	"weft/extproc"
	"weft/internal/observe"
)

// version is set by the linker.
var version = "devel"

func main() {
	if err := command().Run(context.Background(), os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "weft:", err)
		os.Exit(1)
	}
}

func command() *cli.Command {
	return &cli.Command{
		Name:    "weft",
		Usage:   "join the responses of a legacy service with MongoDB documents, inside Envoy",
		Version: version,
		Description: "weft serves Envoy's external processing filter. Envoy shows it each response of the legacy service;\n" +
			"while that one works, weft reads the matching document, and it puts both into the answer.\n\n" +
			"Try \"make run\" in its repository for a system that runs.",
		Commands: []*cli.Command{serveCommand(), envoyCommand()},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return fmt.Errorf("no such command: %q; see weft --help", cmd.Args().First())
			}
			return cli.ShowRootCommandHelp(cmd)
		},
		OnUsageError:          usageError,
		EnableShellCompletion: true,
		ExitErrHandler:        func(context.Context, *cli.Command, error) {}, // main prints the error
	}
}

// usageError is printed in place of the whole help.
func usageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	return fmt.Errorf("%w; see %s --help", err, cmd.FullName())
}

const defaultSocket = "unix:///run/weft/weft.sock"

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "serve Envoy's external processing filter",
		Description: "Serves until SIGTERM or SIGINT, then lets the exchanges under way finish; a second signal ends it at once.\n" +
			"weft starts and stays up while MongoDB is down. It has no timeouts: Envoy's message_timeout says how long an\n" +
			"answer may wait for MongoDB, and the connection string has MongoDB's own.",
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "listen", Value: defaultSocket, Sources: cli.EnvVars("WEFT_LISTEN"),
				Usage: "unix:`PATH` or host:port to serve on",
			},
			&cli.StringFlag{
				Name: "mongodb-uri", Value: "mongodb://localhost:27017", Sources: cli.EnvVars("WEFT_MONGODB_URI"),
				Usage: "MongoDB connection `STRING`; in the environment, passwords do not show in the process list",
			},
			&cli.StringFlag{
				Name: "log-level", Value: "info", Sources: cli.EnvVars("WEFT_LOG_LEVEL"),
				Usage: "`LEVEL`: debug (a line for each exchange), info, warn or error",
			},
		},
		OnUsageError: usageError,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return fmt.Errorf("serve: unexpected argument %q; see weft serve --help", cmd.Args().First())
			}
			return serve(ctx, serveOptions{
				listen:     cmd.String("listen"),
				mongodbURI: cmd.String("mongodb-uri"),
				logLevel:   cmd.String("log-level"),
			})
		},
	}
}

func envoyCommand() *cli.Command {
	return &cli.Command{
		Name:        "envoy",
		Usage:       "print the configuration of an Envoy that calls weft",
		Description: "Prints a complete bootstrap: weft envoy > envoy.yaml && envoy -c envoy.yaml",
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name: "legacy", Value: "127.0.0.1:8081", Sources: cli.EnvVars("WEFT_LEGACY"),
				Usage: "`host:port` of the legacy service",
			},
			&cli.StringFlag{
				Name: "weft", Value: defaultSocket, Sources: cli.EnvVars("WEFT_LISTEN"),
				Usage: "address of weft, as in \"weft serve --listen\"",
			},
			&cli.StringFlag{
				Name: "listen", Value: "0.0.0.0:10000", Sources: cli.EnvVars("WEFT_ENVOY_LISTEN"),
				Usage: "`host:port` that Envoy serves clients on",
			},
			&cli.StringFlag{
				Name: "admin", Value: "127.0.0.1:9901", Sources: cli.EnvVars("WEFT_ENVOY_ADMIN"),
				Usage: "`host:port` of Envoy's admin interface",
			},
			&cli.DurationFlag{
				Name: "route-timeout", Value: envoy.DefaultRouteTimeout, Sources: cli.EnvVars("WEFT_ROUTE_TIMEOUT"),
				Usage: "how long the legacy service may take for an answer",
			},
			&cli.DurationFlag{
				Name: "message-timeout", Value: envoy.DefaultMessageTimeout, Sources: cli.EnvVars("WEFT_MESSAGE_TIMEOUT"),
				Usage: "how long Envoy waits for weft; less a tenth, how long weft waits for MongoDB once the core is there",
			},
		},
		OnUsageError: usageError,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return fmt.Errorf("envoy: unexpected argument %q; see weft envoy --help", cmd.Args().First())
			}
			bootstrap, err := envoy.Bootstrap(envoy.Config{
				Rules:          enrich.UserProfile(),
				Listen:         cmd.String("listen"),
				Admin:          cmd.String("admin"),
				Legacy:         cmd.String("legacy"),
				Weft:           cmd.String("weft"),
				RouteTimeout:   cmd.Duration("route-timeout"),
				MessageTimeout: cmd.Duration("message-timeout"),
			})
			if err != nil {
				return err
			}
			text, err := envoy.YAML(bootstrap)
			if err != nil {
				return err
			}
			_, err = cmd.Root().Writer.Write(text)
			return err
		},
	}
}

type serveOptions struct {
	listen     string // unix:PATH or host:port
	mongodbURI string
	logLevel   string
}

// drainDeadline is how long exchanges may finish after the signal to stop. Envoy's route timeout ends them sooner.
const drainDeadline = 10 * time.Second

// serve runs until the first signal, and a little longer.
func serve(ctx context.Context, o serveOptions) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return fmt.Errorf("--log-level %q: want debug, info, warn or error", o.logLevel)
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))

	store, err := mongostore.Open(o.mongodbURI)
	if err != nil {
		return fmt.Errorf("--mongodb-uri: %w; want, for example, mongodb://localhost:27017", err)
	}
	rules := enrich.UserProfile()

	listener, err := extproc.Listen(o.listen)
	if err != nil {
		return err
	}
	server := grpc.NewServer(extproc.ServerOptions()...)
	extprocv3.RegisterExternalProcessorServer(server, &extproc.Server{
		Rules:  func() []*enrich.Rule { return rules },
		Store:  store,
		Report: observe.Log(logger),
	})
	go adviseIndexes(ctx, logger, store, rules)

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	logger.Info("serving", "listen", o.listen, "version", version)

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop() // from here on a signal has its default effect: a second one ends weft at once
	logger.Info("stopping: exchanges under way finish", "deadline", drainDeadline)
	late := time.AfterFunc(drainDeadline, server.Stop)
	defer late.Stop()
	server.GracefulStop()

	// With all exchanges over no read is under way, so there is nothing to wait for.
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = store.Close(now)
	logger.Info("stopped")
	return nil
}

// adviseIndexes warns of reads that scan a whole collection. MongoDB may be down for now: the driver waits for it as
// long as the connection string says, and the next try follows.
func adviseIndexes(ctx context.Context, logger *slog.Logger, store *mongostore.Store, rules []*enrich.Rule) {
	type place struct{ database, collection, key string }
	seen := map[place]bool{}
	for _, r := range rules {
		src := r.Sources[0]
		at := place{src.Database, src.Collection, src.Where[0].Field}
		if seen[at] {
			continue
		}
		seen[at] = true
		advice, err := store.IndexAdvice(ctx, src)
		if mongostore.IsUnavailable(err) && ctx.Err() == nil {
			logger.Warn("MongoDB does not answer; until it does, extensions are null", "error", err)
		}
		for mongostore.IsUnavailable(err) && ctx.Err() == nil {
			advice, err = store.IndexAdvice(ctx, src)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			logger.Warn("could not look for an index", "error", err)
		case advice != "":
			logger.Warn("no index on the key: each read scans the whole collection", "rule", r.Name, "run in mongosh", advice)
		}
	}
}
