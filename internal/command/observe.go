package command

import (
	"fmt"
	"log/slog"

	"github.com/urfave/cli/v3"

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
	}
}

func loggerOf(cmd *cli.Command) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cmd.String("log-level"))); err != nil {
		return nil, usageError{fmt.Errorf("--log-level %q: want debug, info, warn or error", cmd.String("log-level"))}
	}
	logger, err := observe.NewLogger(cmd.Root().ErrWriter, cmd.String("log-format"), level)
	if err != nil {
		return nil, usageError{fmt.Errorf("--log-format %q: %w", cmd.String("log-format"), err)}
	}
	return logger, nil
}
