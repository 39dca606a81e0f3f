package command

import (
	"context"
	"errors"
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
		Usage:     "say what weft would do with a request",
		ArgsUsage: "METHOD URL [FILE]",
		Description: `Prints the rule that a request falls under, its parameters, what would be asked of MongoDB, and the shape of the answer.
The URL is a path, or has a host, too: weft explain GET http://shop.example.com/products/A-1 rules.yaml`,
		OnUsageError: onUsageError,
		Action: func(_ context.Context, cmd *cli.Command) error {
			args := cmd.Args().Slice()
			if len(args) < 2 || len(args) > 3 {
				return usageError{errors.New("explain: write weft explain GET /api/v1/users/7 rules.yaml")}
			}
			file := ""
			if len(args) == 3 {
				file = args[2]
			}
			f, err := loadRules(file)
			if err != nil {
				return err
			}
			request := enrich.Request{Method: strings.ToUpper(args[0]), Path: args[1]}
			if u, err := url.Parse(args[1]); err == nil && u.Host != "" {
				request.Host, request.Path = u.Host, u.RequestURI()
			}
			return explain(cmd.Root().Writer, f.Rules, request)
		},
	}
}

// explain prints what a request means. A request without a rule is no error.
func explain(out io.Writer, rules []*enrich.Rule, request enrich.Request) error {
	say := func(name, format string, args ...any) {
		fmt.Fprintf(out, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	rule, params, ok := enrich.NewRules(rules).Match(request)
	if !ok {
		say("rule", "none: the response of the legacy service passes untouched")
		for _, r := range rules {
			say("", "%s is for %s %s%s", r.Name, strings.Join(r.Methods, ", "), r.Host, r.Path)
		}
		return nil
	}
	say("rule", "%s (%s %s%s)", rule.Name, strings.Join(rule.Methods, ", "), rule.Host, rule.Path)
	for i, p := range rule.Params() {
		say("parameter", "%s = %s (%s)", p.Name, params[i], typeWord(p.Type))
	}
	path, query, hasQuery := strings.Cut(request.Path, "?")
	if !rule.LegacyPath.IsZero() {
		path = legacyPath(rule, params)
	}
	if hasQuery {
		path += "?" + query
	}
	say("Envoy route", "%s, to the legacy service as %s", rule.Name, path)
	if request.Method == "HEAD" {
		say("answer", "that of the legacy service, without what describes the body of a GET")
		return nil
	}
	for _, s := range rule.Sources {
		say("query", "%s", mongostore.Describe(s, params, rule.List != nil))
		say("", "no such document: %s", s.Default(describeKey(s, params)))
	}
	say("shape", "%s", shape(rule))
	return nil
}

// describeKey is the key of a source, as far as the request has it.
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

// legacyPath is the path to which Envoy rewrites.
func legacyPath(rule *enrich.Rule, params []enrich.Value) string {
	values := map[string]string{}
	for i, p := range rule.Params() {
		values[p.Name] = params[i].String()
	}
	var b strings.Builder
	for _, s := range rule.LegacyPath.Segments() {
		b.WriteString("/" + s.Prefix)
		if s.HasParam {
			b.WriteString(values[s.Param.Name] + s.Suffix)
		}
	}
	return b.String()
}

// shape draws the answer.
func shape(rule *enrich.Rule) string {
	var members []string
	for _, s := range rule.Sources {
		members = append(members, fmt.Sprintf("%q: …", s.Name))
	}
	added := strings.Join(members, ", ")
	one := fmt.Sprintf("{%q: …, %s, %q: […]}", rule.Members.Core, added, rule.Members.Errors)
	if rule.Shape == enrich.ShapeMerge {
		where := "the object"
		if rule.MergeAt != "" {
			where = fmt.Sprintf("the object at %s", rule.MergeAt)
		}
		one = fmt.Sprintf("%s with %s, and %q if there are any", where, added, rule.Members.Errors)
	}
	switch {
	case rule.List == nil:
		return one
	case *rule.List == "":
		return "the list, each element of it as " + one
	default:
		return fmt.Sprintf("the list at %s, each element of it as %s", *rule.List, one)
	}
}

func typeWord(t enrich.Type) string {
	switch t {
	case enrich.Int64:
		return "int64"
	case enrich.UUID:
		return "uuid"
	case enrich.ObjectID:
		return "objectid"
	default:
		return "string"
	}
}
