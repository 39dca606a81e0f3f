package mongostore

import (
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
	"weft/internal/rulesfile"
)

// BenchmarkAppendExtension measures the conversion of a document to JSON.
func BenchmarkAppendExtension(b *testing.B) {
	doc, err := bson.Marshal(bson.D{
		{Key: "userId", Value: int64(7)},
		{Key: "tags", Value: bson.A{"vip", "beta"}},
		{Key: "lastActivityScore", Value: 25.9},
		{Key: "customSettings", Value: bson.D{
			{Key: "theme", Value: "dark"},
			{Key: "language", Value: "en"},
			{Key: "since", Value: bson.DateTime(1582979696789)},
			{Key: "panels", Value: bson.A{bson.D{{Key: "id", Value: int32(1)}}}},
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	source, key := rulesfile.Builtin().Rules[0].Sources[0], enrich.Key{{Type: enrich.Int64, Int: 7}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := appendExtension(nil, source, key, doc); err != nil {
			b.Fatal(err)
		}
	}
}
