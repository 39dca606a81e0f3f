package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"weft/internal/rulesfile"
)

const (
	plainTitle = "A route without a rule, 32 connections"
	rulesTitle = "1,000 rules, 32 connections"
	thousand   = "weft with 1000 rules"
)

// rules measures what weft costs where it has nothing to do, and what rules cost that are not the one.
func rules(ctx context.Context, w *world) (tables []table, err error) {
	plain := load{connections: 32, path: func(random *rand.Rand) string { return fmt.Sprintf("/plain/%d", random.IntN(users)) }}
	plain.isWhole = func(_, body string) bool { return isCore("/1", body) } // whoever is asked for
	t, err := w.takeTurns(ctx, plainTitle, []turn{
		{"Envoy alone", w.variant("Envoy alone"), plain},
		{"Envoy with weft", w.variant("weft"), plain},
	})
	if err != nil {
		return nil, err
	}
	tables = append(tables, t)

	v, err := w.startWithRules(ctx, thousand, thousandRules())
	if err != nil {
		return nil, err
	}
	many := load{connections: 32}
	t, err = w.takeTurns(ctx, rulesTitle, []turn{{"weft", w.variant("weft"), many}, {thousand, v, many}})
	return append(tables, t), err
}

// startWithRules starts a weft with the text of a rules file, and its Envoy.
func (w *world) startWithRules(ctx context.Context, name, text string) (*variant, error) {
	file := filepath.Join(w.dir, strings.ReplaceAll(name, " ", "-")+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	rules, err := rulesfile.Load(file)
	if err != nil {
		return nil, err
	}
	return w.startWeft(ctx, name, rules.Rules, file)
}

// thousandRules are 999 rules for other resources, and then the one that is asked for.
func thousandRules() string {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	for i := range 999 {
		fmt.Fprintf(&b, "  - {name: other-%d, match: {path: \"/api/v1/others%d/{id:int64}\"}, extensions: {extension: {database: user_profiles, collection: profiles, "+
			"where: {userId: {param: id}}, fields: {tags: {type: strings, default: []}}}}}\n", i, i)
	}
	b.WriteString(userRule)
	return b.String()
}

// userRule is the rule that weft has by itself for /api/v1/users/{userId}, without its policies for failures.
const userRule = `  - name: user
    match: {path: "/api/v1/users/{userId:int64}"}
    core:
      fields: {userId: int64, username: string, email: string, createdAt: string}
      verify: {userId: userId}
    extensions:
      extension:
        database: user_profiles
        collection: profiles
        where: {userId: {param: userId}}
        fields:
          userId: int64
          tags: {type: strings, default: []}
          lastActivityScore: {type: number, default: 0.0}
          customSettings: {type: object, default: {}}
`
