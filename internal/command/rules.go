package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"weft/enrich"
	"weft/enrich/mongostore"
	"weft/internal/rulesfile"
)

// rulesFlag names a rules file.
func rulesFlag() cli.Flag {
	return &cli.StringFlag{
		Name: "rules", Sources: cli.EnvVars("WEFT_RULES"),
		Usage: "rules `FILE`; without one, those of the user profile",
	}
}

// loadRules loads a rules file, or returns the built-in rules if name is empty.
func loadRules(name string) (*rulesfile.File, error) {
	if name == "" {
		return rulesfile.Builtin(), nil
	}
	return rulesfile.Load(name)
}

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name:  "schema",
		Usage: "print the JSON Schema of a rules file",
		Description: `Editors complete and check with it: weft schema > rules.schema.json, and at the top of the rules file

   # yaml-language-server: $schema=rules.schema.json`,
		OnUsageError: onUsageError,
		Action: func(_ context.Context, cmd *cli.Command) error {
			if err := noArguments(cmd); err != nil {
				return err
			}
			_, err := cmd.Root().Writer.Write(rulesfile.Schema)
			return err
		},
	}
}

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "say all that is wrong with rules files",
		ArgsUsage: "FILE...",
		Description: `Prints every mistake at once, as file:line:column: what is wrong and what would be right, and then exits with 1.
Warnings are of what is no mistake but may not be meant. Given a MongoDB, also of indexes that are missing.`,
		Flags:        mongodbFlags("", ": look whether the fields that documents are looked for by have an index"),
		OnUsageError: onUsageError,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if !cmd.Args().Present() {
				return usageError{errors.New("check: which file? Write weft check rules.yaml")}
			}
			uri, err := mongodbURI(cmd)
			if err != nil {
				return err
			}
			isBad := false
			for _, name := range cmd.Args().Slice() {
				if err := check(ctx, cmd.Root().Writer, name, uri); err != nil {
					isBad = true
					fmt.Fprintln(cmd.Root().ErrWriter, err)
				}
			}
			if isBad {
				return errors.New("") // all is said
			}
			return nil
		},
	}
}

// check prints what is wrong with a file. The error has the mistakes.
func check(ctx context.Context, out io.Writer, name, mongodbURI string) error {
	f, err := rulesfile.Load(name)
	if err != nil {
		return err
	}
	for _, w := range f.Warnings {
		fmt.Fprintln(out, rulesfile.Mistakes{w}.In(name)+" (warning)")
	}
	if mongodbURI != "" {
		if err := checkIndexes(ctx, out, name, f.Rules, mongodbURI); err != nil {
			return err
		}
	}
	word := "rules"
	if len(f.Rules) == 1 {
		word = "rule"
	}
	_, err = fmt.Fprintf(out, "%s: %d %s, no mistakes\n", name, len(f.Rules), word)
	return err
}

func checkIndexes(ctx context.Context, out io.Writer, name string, rules []*enrich.Rule, uri string) error {
	store, err := mongostore.Open(uri)
	if err != nil {
		return uriError(uri, err)
	}
	defer func() { _ = store.Close(context.WithoutCancel(ctx)) }()
	for _, r := range rules {
		for _, src := range r.Sources {
			advice, err := store.IndexAdvice(ctx, src)
			if err != nil {
				return fmt.Errorf("%s: rule %q: %w", name, r.Name, err)
			}
			if advice != "" {
				fmt.Fprintf(out, "%s: rule %q, extension %q: no index on the key: each read scans the whole collection; run in mongosh: %s (warning)\n",
					name, r.Name, src.Name, advice)
			}
		}
	}
	return nil
}
