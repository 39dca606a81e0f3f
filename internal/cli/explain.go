package cli

import (
	"cmp"
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
of the answer, as far as the request selects it. The URL is a path, or a full URL with a host:

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
	whole, params, ok := enrich.NewRules(rules).Match(request)
	if !ok {
		line("rule", "none: the response of the legacy service passes unchanged")
		for _, r := range rules {
			line("", "%s matches %s %s%s", r.Name, strings.Join(r.Methods, ", "), r.Host, r.Path)
		}
		return
	}
	rule, legacyTarget, unknown := whole.Narrow(request.Path)
	line("rule", "%s (%s %s%s)", rule.Name, strings.Join(rule.Methods, ", "), rule.Host, rule.Path)
	for i, p := range rule.Params() {
		line("parameter", "%s = %s (%s)", p.Name, params[i], p.Type)
	}
	if len(unknown) > 0 {
		line("answer", "400, because it selects unknown names: %s", strings.Join(unknown, ", "))
		line("", "known names: %s", strings.Join(whole.Selectable(), ", "))
		return
	}
	line("Envoy route", "%s, to the legacy service as %s", rule.Name,
		rule.LegacyTarget(params, cmp.Or(legacyTarget, request.Path)))
	if request.Method == "HEAD" {
		line("answer", "the response of the legacy service, without headers that describe the body of a GET")
		return
	}
	if request.Method == "GET" {
		explainKeep(line, rule)
	}
	for _, s := range rule.Sources {
		read := s
		if s.Cache != nil {
			read = s.Whole() // for requests that select other fields, too
		}
		line("query", "%s", mongostore.Describe(read, params, rule.List != nil))
		key := make(enrich.Key, len(s.Where))
		for i, c := range s.Where {
			var ok bool
			if key[i], ok = c.Value(params); !ok {
				key[i] = enrich.Value{Type: enrich.String, Text: "…"} // from the core
			}
		}
		line("", "no document: %s", s.Default(key))
		if c := s.Cache; c != nil {
			stale := ""
			if c.StaleIfError > 0 {
				stale = fmt.Sprintf("; if MongoDB fails, %v longer", c.StaleIfError)
			}
			line("cache", "up to %s of documents, each until it changes, up to %v%s", size(c.MaxSize), c.MaxAge, stale)
		}
	}
	line("shape", "%s", rule.Sketch())
	if whole.Select.Param != "" {
		line("select", "with the query parameter %s: %s", whole.Select.Param, strings.Join(whole.Selectable(), ", "))
	}
}

// explainKeep prints what the rule does with cores that are kept.
func explainKeep(line func(name, format string, args ...any), rule *enrich.Rule) {
	if rule.Keep.Cache {
		line("core", "from the cache while it is fresh (RFC 9111), without the legacy service")
	}
	if rule.Keep.StaleIfError == 0 {
		return
	}
	whose := "the caller's own last one"
	if rule.Degrade == enrich.DegradeAlways {
		whose = "the last one of a request without " + strings.Join(rule.Keep.Credentials, ", ")
	}
	line("core", "if the legacy service fails, %s, up to %v after it has become stale", whose, rule.Keep.StaleIfError)
}

// size returns a size in bytes as rules have it.
func size(bytes int) string {
	if bytes%(1<<20) == 0 {
		return fmt.Sprintf("%dMiB", bytes>>20)
	}
	return fmt.Sprintf("%dKiB", bytes>>10)
}
