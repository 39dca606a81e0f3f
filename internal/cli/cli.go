// Package cli implements weft's commands.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

// Exit statuses.
const (
	failed     = 1 // the command failed, or a rules file has errors
	wrongUsage = 2 // the command line or the environment is invalid
)

// Run runs a command line, prints its error to stderr, and returns the exit status.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer, version string) int {
	root := New(version)
	root.Writer, root.ErrWriter = stdout, stderr
	began := false
	for _, c := range root.Commands {
		c.Before = func(ctx context.Context, _ *cli.Command) (context.Context, error) { began = true; return ctx, nil }
	}
	err := root.Run(ctx, args)
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "weft:", text)
	}
	// The library does not call OnUsageError for errors in environment variables; it returns them before Before.
	if !began || errors.As(err, new(usageError)) {
		return wrongUsage
	}
	return failed
}

// New returns the command line.
func New(version string) *cli.Command {
	commands := []*cli.Command{
		serveCommand(version), checkCommand(), explainCommand(),
		envoyCommand(), openapiCommand(), schemaCommand(), versionCommand(version),
	}
	for _, c := range commands {
		c.OnUsageError = onUsageError
		if c.ArgsUsage == "" {
			c.ArgValidator = noArguments
		}
	}
	return &cli.Command{
		Name:    "weft",
		Usage:   "join the responses of a legacy service with MongoDB documents, inside Envoy",
		Version: version,
		Description: `weft is a server for Envoy's external processing filter. While the legacy service
handles a request, weft reads the matching documents. It then composes one response from both.

A rules file defines which responses are joined with which documents. From a rules file to a running Envoy:

   weft schema > rules.schema.json     for your editor
   weft check rules.yaml               reports all errors
   weft explain GET /api/v1/users/7 rules.yaml
   weft envoy --rules rules.yaml --legacy users:8080 > envoy.yaml
   weft serve --rules rules.yaml & envoy -c envoy.yaml

Without a rules file, weft uses built-in rules for a user profile. Exit status: 0 success, 1 failure or errors in a
rules file, 2 invalid usage. Shell completion: weft completion bash|zsh|fish|pwsh.`,
		Commands: commands,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return usageErrorf("unknown command %q; see weft --help", cmd.Args().First())
			}
			return cli.ShowRootCommandHelp(cmd)
		},
		OnUsageError:                    onUsageError,
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: func(cmd *cli.Command) { cmd.Hidden = false },
		ExitErrHandler:                  func(context.Context, *cli.Command, error) {}, // Run prints the error
	}
}

// usageError is an error in the command line or the environment.
type usageError struct{ error }

func usageErrorf(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// onUsageError returns one line, instead of the whole help.
func onUsageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	return usageErrorf("%w; see %s --help", err, cmd.FullName())
}

// noArguments is the ArgValidator for commands without arguments.
func noArguments(_ context.Context, cmd *cli.Command) error {
	if cmd.Args().Present() {
		return usageErrorf("%s: unexpected argument %q; see weft %s --help", cmd.Name, cmd.Args().First(), cmd.Name)
	}
	return nil
}

func versionCommand(version string) *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		Action: func(_ context.Context, cmd *cli.Command) error {
			_, err := fmt.Fprintln(cmd.Root().Writer, version)
			return err
		},
	}
}
