package main

import (
	"context"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// users is the number of users in both systems.
const users = 100_000

func profiles(client *mongo.Client) *mongo.Collection {
	return client.Database("user_profiles").Collection("profiles")
}

// seed inserts a document for each user, and then one with a customSettings of each size of the part scaling.
func seed(ctx context.Context, profiles *mongo.Collection) error {
	index := mongo.IndexModel{Keys: bson.D{{Key: "userId", Value: 1}}}
	if _, err := profiles.Indexes().CreateOne(ctx, index); err != nil {
		return err
	}
	const batch = 10_000
	docs := make([]any, batch)
	for from := 0; from < users; from += batch {
		for i := range docs {
			id := from + i
			docs[i] = bson.D{
				{Key: "userId", Value: id},
				{Key: "tags", Value: bson.A{"vip", fmt.Sprintf("tag %d", id%7)}},
				{Key: "lastActivityScore", Value: float64(id%1000) / 10},
				{Key: "customSettings", Value: bson.D{{Key: "theme", Value: "dark"}, {Key: "language", Value: "en"}}},
			}
		}
		if _, err := profiles.InsertMany(ctx, docs); err != nil {
			return err
		}
	}
	for i, n := range sizes() {
		settings := bson.D{{Key: "s", Value: strings.Repeat("x", max(0, n-80))}} // 80 bytes are the rest of the extension
		doc := bson.D{{Key: "userId", Value: users + i}, {Key: "customSettings", Value: settings}}
		if _, err := profiles.InsertOne(ctx, doc); err != nil {
			return err
		}
	}
	return nil
}
