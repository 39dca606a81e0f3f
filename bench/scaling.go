package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
)

// sizes are those of cores and extensions, in bytes.
func sizes() []int { return []int{100, 1_000, 10_000, 100_000, 1_000_000} }

func sizeName(n int) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	case n >= 1_000:
		return fmt.Sprintf("%d kB", n/1_000)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// scaling measures weft with larger extensions, larger cores, more connections and longer lists.
func scaling(ctx context.Context, b *testbed) (tables []table, err error) {
	v, err := b.startWithRules(ctx, "weft with a list", userRule+listRule)
	if err != nil {
		return nil, err
	}
	path := func(format string, n int) func(*rand.Rand) string {
		return func(*rand.Rand) string { return fmt.Sprintf(format, n) }
	}
	var extensions, cores, connections, lists []trial
	for i, n := range sizes() {
		extensions = append(extensions, trial{sizeName(n), v, load{connections: 8, path: path("/api/v1/users/%d", users+i)}})
		cores = append(cores, trial{sizeName(n), v, load{connections: 8, path: func(random *rand.Rand) string {
			return fmt.Sprintf("%s?pad=%d", userPath(random), max(0, n-130)) // 130 bytes are the rest of the core
		}}})
	}
	for _, n := range []int{1, 4, 16, 64, 256, 1024} {
		connections = append(connections, trial{fmt.Sprint(n), v, load{connections: n, path: userPath}})
	}
	for _, n := range []int{1, 10, 100, 1_000} {
		valid := func(_, body string) bool { return strings.Count(body, `,"errors":[]}`) == n }
		lists = append(lists, trial{fmt.Sprint(n), v, load{connections: 8, path: path("/api/v1/lists/%d", n), valid: valid}})
	}
	for _, series := range []struct {
		title  string
		trials []trial
	}{
		{"Scaling: size of the extension, 8 connections", extensions},
		{"Scaling: size of the core, 8 connections", cores},
		{"Scaling: connections", connections},
		{"Scaling: elements of a list, 8 connections", lists},
	} {
		t, err := b.interleave(ctx, series.title, series.trials)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// listRule joins each user of a list with a document.
const listRule = `  - name: list
    match: {path: "/api/v1/lists/{_n:int64}"}
    core: {list: "", fields: {userId: int64}}
    extensions:
      extension:
        database: user_profiles
        collection: profiles
        where: {userId: {core: userId, type: int64}}
        fields: {tags: {type: strings, default: []}}
`
