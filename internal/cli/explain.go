package cli

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/urfave/cli/v3"

	"weft/enrich"
	"weft/enrich/mongostore"
)

func explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "show what weft does with a request",
		ArgsUsage: "METHOD URL [FILE]",
		Description: `Prints the rule that a request matches, its parameters, the MongoDB query, and the shape
of the answer. The URL is a path, or a full URL with a host:

   weft explain GET http://shop.example.com/products/A-1 rules.yaml`,
		Action: func(_ context.Context, cmd *cli.Command) error {
			args := cmd.Args().Slice()
			if len(args) < 2 || len(args) > 3 {
				return usageErrorf("explain: want METHOD URL [FILE], for example %s",
					"weft explain GET /api/v1/users/7 rules.yaml")
			}
			f, err := loadRules(cmd.Args().Get(2))
			if err != nil {
				return err
			}
			request := enrich.Request{Method: strings.ToUpper(args[0]), Path: args[1]}
			if u, err := url.Parse(args[1]); err == nil && u.Host != "" {
				request.Host, request.Path = u.Host, u.RequestURI()
			}
			explain(cmd.Root().Writer, f.Rules, request)
			return nil
		},
	}
}

// explain prints what weft does with a request.
func explain(out io.Writer, rules []*enrich.Rule, request enrich.Request) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	rule, params, ok := enrich.NewRules(rules).Match(request)
	if !ok {
		line("rule", "none: the response of the legacy service passes unchanged")
		for _, r := range rules {
			line("", "%s matches %s %s%s", r.Name, strings.Join(r.Methods, ", "), r.Host, r.Path)
		}
		return
	}
	line("rule", "%s (%s %s%s)", rule.Name, strings.Join(rule.Methods, ", "), rule.Host, rule.Path)
	for i, p := range rule.Params() {
		line("parameter", "%s = %s (%s)", p.Name, params[i], p.Type)
	}
	path, query, hasQuery := strings.Cut(request.Path, "?")
	if !rule.LegacyPath.IsZero() {
		path = rule.LegacyPath.String()
		for i, p := range rule.Params() {
			path = strings.ReplaceAll(path, "{"+p.Name+":"+p.Type.String()+"}", params[i].String())
		}
	}
	if hasQuery {
		path += "?" + query
	}
	line("Envoy route", "%s, to the legacy service as %s", rule.Name, path)
	if request.Method == "HEAD" {
		line("answer", "the response of the legacy service, without headers that describe the body of a GET")
		return
	}
	for _, s := range rule.Sources {
		line("query", "%s", mongostore.Describe(s, params, rule.List != nil))
		line("", "no document: %s", s.Default(describeKey(s, params)))
		if c := s.Cache; c != nil {
			stale := ""
			if c.StaleIfError > 0 {
				stale = fmt.Sprintf("; if MongoDB fails, %v longer", c.StaleIfError)
			}
			line("cache", "up to %d documents, each until it changes, up to %v%s", c.MaxEntries, c.MaxAge, stale)
		}
	}
	line("shape", "%s", rule.Sketch())
}

// describeKey returns the key of a source, with "…" for values from the core.
func describeKey(s *enrich.Source, params []enrich.Value) enrich.Key {
	key := make(enrich.Key, len(s.Where))
	for i, c := range s.Where {
		switch c.From {
		case enrich.FromParam:
			key[i] = params[c.Param]
		case enrich.FromRule:
			key[i] = c.Fixed
		case enrich.FromCore:
			key[i] = enrich.Value{Type: enrich.String, Text: "…"}
		}
	}
	return key
}
