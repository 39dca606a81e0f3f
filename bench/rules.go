package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
)

const (
	noRuleTitle       = "Requests without a rule, 32 connections"
	weftPasses        = "weft, on the route of a rule"
	thousandRules     = "weft with 1000 rules"
	thousandRuleTitle = "1,000 rules, 32 connections"
)

// rules measures what weft costs a request that no rule matches: on a route without weft, and on one where Envoy asks
// weft, which is also what other requests of an HTTPRoute cost that weft is attached to. It also measures what 999
// other rules cost a request that a rule matches.
func rules(ctx context.Context, b *testbed) (tables []table, err error) {
	plain := load{
		connections: 32,
		path:        func(random *rand.Rand) string { return fmt.Sprintf("/plain/%d", random.IntN(users)) },
		valid:       func(_, body string) bool { return isCore("/1", body) }, // the legacy service always answers with user 1
	}
	weft := b.variant(weftNow)
	t, err := b.interleave(ctx, noRuleTitle, []trial{
		{envoyAlone, b.variant(envoyAlone), plain},
		{weftNow, weft, plain},
		{weftPasses, weft, load{connections: 32, path: tooLarge, valid: plain.valid}},
	})
	if err != nil {
		return nil, err
	}
	tables = append(tables, t)

	var text strings.Builder
	for i := range 999 {
		fmt.Fprintf(&text, otherRule, i, i)
	}
	many, err := b.startWithRules(ctx, thousandRules, text.String()+userRule)
	if err != nil {
		return nil, err
	}
	l := load{connections: 32, path: userPath}
	t, err = b.interleave(ctx, thousandRuleTitle, []trial{{weftNow, weft, l}, {thousandRules, many, l}})
	return append(tables, t), err
}

// tooLarge returns the path of an id that exceeds an int64.
func tooLarge(random *rand.Rand) string {
	return fmt.Sprintf("/api/v1/users/9999%015d", random.Int64N(1e15))
}

// startWithRules starts a weft with rules of its own.
func (b *testbed) startWithRules(ctx context.Context, name, rules string) (*variant, error) {
	file := b.part.File("rules.yaml")
	if err := os.WriteFile(file, []byte("version: 1\nrules:\n"+rules), 0o644); err != nil {
		return nil, err
	}
	v := &variant{name: name, pids: map[string]int{}, valid: isComposite}
	return v, b.startWeft(ctx, v, b.weft, file)
}

const otherRule = `  - name: other-%d
    match: {path: "/api/v1/others%d/{id:int64}"}
    extensions:
      extension:
        database: user_profiles
        collection: profiles
        where: {userId: {param: id}}
        fields: {tags: {type: strings, default: []}}
`

// userRule is the built-in rule of /api/v1/users/{userId}, without its failure policies.
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
