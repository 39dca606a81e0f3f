package cli

import (
	"io"
	"log/slog"

	"github.com/urfave/cli/v3"
)

// observeFlags returns the flags for logs, traces and the server-timing header.
func (s *server) observeFlags() []cli.Flag {
	return []cli.Flag{
		stringVar(&s.logLevel, "log-level", "info", "WEFT_LOG_LEVEL",
			"`LEVEL`: debug (a line for each exchange), info, warn or error"),
		stringVar(&s.logFormat, "log-format", "text", "WEFT_LOG_FORMAT", "text or json"),
		boolVar(&s.serverTiming, "server-timing", true, "WEFT_SERVER_TIMING",
			"add a server-timing header to answers, which browsers show"),
		&cli.StringFlag{
			Name: "otlp-endpoint", Destination: &s.otlpEndpoint, Sources: cli.EnvVars(
				"WEFT_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
			Usage: "`URL` of an OTLP/gRPC collector such as http://localhost:4317, " +
				"for weft's spans in the traces that Envoy samples; empty: no traces",
		},
	}
}

// newLogger returns the logger that the flags define.
func (s *server) newLogger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return nil, usageErrorf("--log-level %q: want debug, info, warn or error", s.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch s.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, usageErrorf("--log-format %q: want text or json", s.logFormat)
	}
}
