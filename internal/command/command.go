// Package command is weft's command line.
package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"
)

// Exit statuses.
const (
	failed     = 1 // the command failed, or a rules file has errors
	wrongUsage = 2 // the command line or the environment is wrong
)

// Run runs a command line and returns the exit status. Errors are printed to stderr.
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
	// Of what is wrong in the environment the library tells nobody but by the error, before the command begins.
	if !began || errors.As(err, new(usageError)) {
		return wrongUsage
	}
	return failed
}

// New returns the command line.
func New(version string) *cli.Command {
	return &cli.Command{
		Name:    "weft",
		Usage:   "join the responses of a legacy service with MongoDB documents, inside Envoy",
		Version: version,
		Description: `weft serves Envoy's external processing filter. Envoy shows it each response of the legacy service; while that one
works, weft reads the matching documents, and it puts both into the answer.

A rules file says which responses are joined with which documents. From nothing to an Envoy that runs:

   weft schema > rules.schema.json     for the editor
   weft check rules.yaml               all errors at once
   weft explain GET /api/v1/users/7 rules.yaml
   weft envoy --rules rules.yaml --legacy users:8080 > envoy.yaml
   weft serve --rules rules.yaml & envoy -c envoy.yaml

Without a rules file weft serves its built-in rules, for a user profile. Exit status: 0 done, 1 failed (or errors in a
rules file), 2 wrong usage. Shell completion: weft completion bash|zsh|fish|pwsh.`,
		Commands: []*cli.Command{serveCommand(version), checkCommand(), explainCommand(), envoyCommand(), schemaCommand(), versionCommand(version)},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if cmd.Args().Present() {
				return usageError{fmt.Errorf("no such command: %q; see weft --help", cmd.Args().First())}
			}
			return cli.ShowRootCommandHelp(cmd)
		},
		OnUsageError:                    onUsageError,
		EnableShellCompletion:           true,
		ConfigureShellCompletionCommand: func(cmd *cli.Command) { cmd.Hidden = false },
		ExitErrHandler:                  func(context.Context, *cli.Command, error) {}, // Run prints the error
	}
}

// usageError is a command line that says nothing weft can do.
type usageError struct{ error }

// onUsageError is printed in place of the whole help.
func onUsageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	return usageError{fmt.Errorf("%w; see %s --help", err, cmd.FullName())}
}

// atLeast is for the Validator of a flag.
func atLeast[T cmp.Ordered](least T) func(T) error {
	return func(v T) error {
		if cmp.Less(v, least) { // NaN is
			return fmt.Errorf("want %v or more", least)
		}
		return nil
	}
}

// between is for the Validator of a flag.
func between[T cmp.Ordered](least, most T) func(T) error {
	return func(v T) error {
		if cmp.Less(v, least) || v > most {
			return fmt.Errorf("want %v to %v", least, most)
		}
		return nil
	}
}

// noArguments refuses what a command does not take.
func noArguments(cmd *cli.Command) error {
	if cmd.Args().Present() {
		return usageError{fmt.Errorf("%s: unexpected argument %q; see weft %s --help", cmd.Name, cmd.Args().First(), cmd.Name)}
	}
	return nil
}

func versionCommand(version string) *cli.Command {
	return &cli.Command{
		Name:         "version",
		Usage:        "print the version",
		OnUsageError: onUsageError,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if err := noArguments(cmd); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.Root().Writer, version)
			return err
		},
	}
}
