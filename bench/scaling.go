package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"
)

// sizes are those of cores and extensions, in bytes.
func sizes() []int { return []int{100, 1_000, 10_000, 100_000, 1_000_000} }

// listRule joins a list of users.
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

// scaling measures weft with more and more of one thing.
func scaling(ctx context.Context, w *world) (tables []table, err error) {
	if err := seedSizes(ctx, w.mongod.URI()); err != nil {
		return nil, err
	}
	v, err := w.startWithRules(ctx, "weft with a list", "version: 1\nrules:\n"+userRule+listRule)
	if err != nil {
		return nil, err
	}
	path := func(format string, args ...any) func(*rand.Rand) string {
		return func(*rand.Rand) string { return fmt.Sprintf(format, args...) }
	}
	var extensions, cores, streams, lists []turn
	for i, n := range sizes() {
		extensions = append(extensions, turn{size(n), v, load{connections: 8, path: path("/api/v1/users/%d", users+i)}})
		cores = append(cores, turn{size(n), v, load{connections: 8, path: func(random *rand.Rand) string {
			return fmt.Sprintf("%s?pad=%d", user(random), max(0, n-130)) // the rest of it
		}}})
	}
	for _, n := range []int{1, 4, 16, 64, 256, 1024} {
		streams = append(streams, turn{fmt.Sprint(n), v, load{connections: n}})
	}
	for _, n := range []int{1, 10, 100, 1_000} {
		lists = append(lists, turn{fmt.Sprint(n), v, load{connections: 8, path: path("/api/v1/lists/%d", n), isWhole: func(_, body string) bool {
			return strings.Count(body, `,"errors":[]}`) == n
		}}})
	}
	for _, series := range []struct {
		title string
		turns []turn
	}{
		{"Scaling: size of the extension, 8 connections", extensions},
		{"Scaling: size of the core, 8 connections", cores},
		{"Scaling: connections", streams},
		{"Scaling: elements of a list, 8 connections", lists},
	} {
		t, err := w.takeTurns(ctx, series.title, series.turns)
		if err != nil {
			return nil, err
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func size(n int) string {
	switch {
	case n >= 1_000_000:
		return fmt.Sprintf("%d MB", n/1_000_000)
	case n >= 1_000:
		return fmt.Sprintf("%d kB", n/1_000)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// seedSizes adds a user for each size of an extension.
func seedSizes(ctx context.Context, uri string) (err error) {
	client, err := mongo.Connect(mongooptions.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()
	for i, n := range sizes() {
		doc := bson.D{
			{Key: "userId", Value: users + i},
			{Key: "customSettings", Value: bson.D{{Key: "s", Value: strings.Repeat("x", max(0, n-80))}}}, // the rest of it
		}
		if _, err := client.Database("user_profiles").Collection("profiles").InsertOne(ctx, doc); err != nil {
			return err
		}
	}
	return nil
}
