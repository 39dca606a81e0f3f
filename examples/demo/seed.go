package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// seedProfiles inserts missing profiles into the demo's MongoDB and creates the index on their key. It does not change
// existing profiles.
func seedProfiles(ctx context.Context, uri string) (err error) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.Disconnect(context.WithoutCancel(ctx))) }()

	collection := client.Database("user_profiles").Collection("profiles")
	index := mongo.IndexModel{Keys: bson.D{{Key: "userId", Value: 1}}, Options: options.Index().SetUnique(true)}
	if _, err := collection.Indexes().CreateOne(ctx, index); err != nil {
		return fmt.Errorf("create the index on the demo's profiles: %w", err)
	}
	var writes []mongo.WriteModel
	for _, profile := range profiles() {
		key, rest := profile[:1], profile[1:]
		update := bson.D{{Key: "$setOnInsert", Value: rest}}
		writes = append(writes, mongo.NewUpdateOneModel().SetFilter(key).SetUpdate(update).SetUpsert(true))
	}
	if _, err := collection.BulkWrite(ctx, writes, options.BulkWrite().SetOrdered(false)); err != nil {
		return fmt.Errorf("insert the demo's profiles: %w", err)
	}
	return nil
}

// profiles returns 1,000 documents, the same in each call. The first field is the key, userId.
func profiles() []bson.D {
	odd := oddProfiles()
	var all []bson.D
	for id := int32(1); id <= 1001; id++ { // the legacy service has users 1 to 1000
		switch profile, isOdd := odd[id]; {
		case id == 13: // has no profile
		case isOdd:
			all = append(all, profile)
		default:
			all = append(all, plainProfile(id))
		}
	}
	return all
}

// plainProfile returns a valid profile, whose values depend on the id.
func plainProfile(id int32) bson.D {
	tags := []bson.A{{}, {"trial"}, {"beta", "newsletter"}, {"vip"}}[id%4]
	theme := []string{"light", "dark"}[id%2]
	return profile(id, tags, float64(id*37%1000)/10, bson.D{{Key: "theme", Value: theme}})
}

func profile(id, tags, score, settings any) bson.D {
	return bson.D{
		{Key: "userId", Value: id},
		{Key: "tags", Value: tags},
		{Key: "lastActivityScore", Value: score},
		{Key: "customSettings", Value: settings},
	}
}

func oddProfiles() map[int32]bson.D {
	dark := bson.D{{Key: "theme", Value: "dark"}}
	return map[int32]bson.D{
		17: profile(int32(17), nil, 1.5, dark),
		18: profile(int32(18), bson.A{"vip"}, "high", dark),
		19: profile(int32(19), bson.A{"größe", "织", "🧵"}, 19.5, bson.D{
			{Key: "grüße.$\"", Value: "naïve"}, {Key: "", Value: "شكرا"},
		}),
		20: profile(int32(20), bson.A{}, "3.5", dark),
		21: profile(int32(21), bson.A{"vip"}, 2.1, bson.D{
			{Key: "big", Value: int64(1<<53 + 1)},
			{Key: "since", Value: bson.NewDateTimeFromTime(time.Date(2020, time.February, 29, 12, 34, 56, 789e6, time.UTC))},
			{Key: "ref", Value: bson.ObjectID{0x5f, 0x1d, 0x7a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f, 0x70, 0x81, 0x92, 0xa3}},
		}),
		22: profile(int32(22), bson.A{"vip"}, 2.2, bson.A{"dark"}),
		23: profile(float64(23), bson.A{"vip"}, int64(23), dark),
	}
}
