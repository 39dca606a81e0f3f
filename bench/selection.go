package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

const selectionTitle = "Selection: a core of 100 kB and a document of 100 kB, 8 connections"

// Rows of the part selection.
const (
	selectAll       = "complete"
	selectBoth      = "one member of each"
	selectCore      = "one member of the core"
	selectExtension = "one field of the extension"
)

// selection measures what a request saves that selects members of a large answer.
func selection(ctx context.Context, b *testbed) ([]table, error) {
	v, err := b.startWithRules(ctx, "weft with select", userRule+"    select: {param: fields}\n")
	if err != nil {
		return nil, err
	}
	const size = 100_000
	id := users + slices.Index(sizes(), size)
	complete := fmt.Sprintf("/api/v1/users/%d?pad=%d", id, size)
	row := func(name, fields, answer string) trial {
		path, valid := complete+"&fields="+fields, func(_, body string) bool { return body == answer }
		if fields == "" {
			path = complete
			valid = func(_, body string) bool { return len(body) > 2*size-100 && strings.HasSuffix(body, answer) }
		}
		return trial{name, v, load{connections: 8, path: func(*rand.Rand) string { return path }, valid: valid}}
	}
	user := fmt.Sprintf("user%d", id)
	t, err := b.interleave(ctx, selectionTitle, []trial{
		row(selectAll, "", `"}},"errors":[]}`),
		row(selectBoth, "core.username,extension.tags",
			`{"core":{"username": "`+user+`"},"extension":{"tags":[]},"errors":[]}`),
		row(selectCore, "core.username", `{"core":{"username": "`+user+`"},"errors":[]}`),
		row(selectExtension, "extension.tags", `{"extension":{"tags":[]},"errors":[]}`),
	})
	return []table{t}, err
}
