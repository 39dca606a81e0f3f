package cli

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

// rulesFlag returns the --rules flag.
func rulesFlag(name *string) cli.Flag {
	return stringVar(name, "rules", "", "WEFT_RULES", "rules `FILE`; default: built-in rules for a user profile")
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
		Description: `Editors use it for completion and validation. Run weft schema > rules.schema.json, and begin
the rules file with

   # yaml-language-server: $schema=rules.schema.json`,
		Action: func(_ context.Context, cmd *cli.Command) error {
			_, err := cmd.Root().Writer.Write(rulesfile.Schema)
			return err
		},
	}
}

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Usage:     "report all errors in rules files",
		ArgsUsage: "FILE...",
		Description: `Prints every error as file:line:column, what is wrong, and what to write instead. If there are
errors, the exit status is 1. Warnings point out rules that are valid but probably not intended. With a
MongoDB connection string, check also warns about missing indexes and, in a sample, documents with
wrong types.`,
		Flags: mongodbFlags("", ", to check indexes and a sample of documents"),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if !cmd.Args().Present() {
				return usageErrorf("check: want a rules file, for example weft check rules.yaml")
			}
			uri, err := mongodbURI(cmd)
			if err != nil {
				return err
			}
			var failed error
			for _, name := range cmd.Args().Slice() {
				if err := check(ctx, cmd.Root().Writer, name, uri); err != nil {
					fmt.Fprintln(cmd.Root().ErrWriter, err)
					failed = errors.New("") // the errors are printed already
				}
			}
			return failed
		},
	}
}

// check validates a file and prints its warnings. It returns the errors in the file.
func check(ctx context.Context, out io.Writer, name, mongodbURI string) error {
	f, err := rulesfile.Load(name)
	if err != nil {
		return err
	}
	for _, w := range f.Warnings {
		fmt.Fprintf(out, "%v (warning)\n", w)
	}
	if mongodbURI != "" {
		if err := checkMongoDB(ctx, out, name, f.Rules, mongodbURI); err != nil {
			return err
		}
	}
	word := "rules"
	if len(f.Rules) == 1 {
		word = "rule"
	}
	_, err = fmt.Fprintf(out, "%s: %d %s, no errors\n", name, len(f.Rules), word)
	return err
}

// checkMongoDB prints a warning for each source whose collection has no index on the key or documents with other types.
func checkMongoDB(ctx context.Context, out io.Writer, name string, rules []*enrich.Rule, uri string) error {
	store, err := mongostore.Open(uri)
	if err != nil {
		return uriError(uri, err)
	}
	defer func() { _ = store.Close(context.WithoutCancel(ctx)) }()
	for _, r := range rules {
		for _, src := range r.Sources {
			index, err := store.IndexAdvice(ctx, src)
			if err != nil {
				return fmt.Errorf("%s: rule %q: %w", name, r.Name, err)
			}
			warnings, err := store.TypeAdvice(ctx, src)
			if err != nil {
				return fmt.Errorf("%s: rule %q: %w", name, r.Name, err)
			}
			if src.Cache != nil {
				reason, err := store.ChangeAdvice(ctx, src)
				if err != nil {
					return fmt.Errorf("%s: rule %q: %w", name, r.Name, err)
				}
				if reason != "" {
					warnings = append(warnings, noChangeStream+": "+reason)
				}
			}
			if index != "" {
				warnings = append(warnings, noIndex+"; run in mongosh: "+index)
			}
			for _, w := range warnings {
				fmt.Fprintf(out, "%s: rule %q, extension %q: %s (warning)\n", name, r.Name, src.Name, w)
			}
		}
	}
	return nil
}
