package command

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/urfave/cli/v3"

	"weft/enrich"
	"weft/internal/observe"
)

// observeFlags say what weft tells of itself, and how.
func observeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "log-level", Value: "info", Sources: cli.EnvVars("WEFT_LOG_LEVEL"),
			Usage: "`LEVEL`: debug (a line for each exchange), info, warn or error",
		},
		&cli.StringFlag{
			Name: "log-format", Value: "text", Sources: cli.EnvVars("WEFT_LOG_FORMAT"),
			Usage: "text or json",
		},
		&cli.BoolFlag{
			Name: "server-timing", Value: true, Sources: cli.EnvVars("WEFT_SERVER_TIMING"),
			Usage: "have answers carry a server-timing header, which browsers show",
		},
		&cli.StringFlag{
			Name: "otlp-endpoint", Sources: cli.EnvVars("WEFT_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
			Usage: "`URL` of a collector that takes OTLP over gRPC, as http://localhost:4317: weft's part of the traces that Envoy records; empty for none",
		},
	}
}

func loggerOf(cmd *cli.Command, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cmd.String("log-level"))); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: want debug, info, warn or error", cmd.String("log-level"))}
	}
	logger, err := observe.NewLogger(w, cmd.String("log-format"), level)
	if err != nil {
		return nil, usageError{fmt.Errorf("--log-format %q: %w", cmd.String("log-format"), err)}
	}
	return logger, nil
}

// traces returns what makes spans of reports, if there is where to send them, and what sends the last of them.
func (s *server) traces(ctx context.Context) (record func(*enrich.Report), closeTraces func(), err error) {
	if s.otlpEndpoint == "" {
		return func(*enrich.Report) {}, func() {}, nil
	}
	traces, err := observe.NewTraces(ctx, s.otlpEndpoint, s.version, func(err error) { s.logger.Warn("traces are lost", "error", err) })
	if err != nil {
		return nil, nil, fmt.Errorf("--otlp-endpoint: %w", err)
	}
	return traces.Record, func() {
		const patience = 2 * time.Second
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		_ = traces.Close(ctx) // what is lost is logged
	}, nil
}
