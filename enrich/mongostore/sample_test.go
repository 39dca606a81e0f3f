package mongostore

import (
	"slices"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
	"weft/test/storetest"
)

// TestTypeAdvice: documents that a rule cannot find, or with fields that it cannot convert, are reported.
func TestTypeAdvice(t *testing.T) {
	source := storetest.Source()
	source.Where = append(source.Where, enrich.Condition{
		Field: "shop", From: enrich.FromRule, Type: enrich.String, Fixed: enrich.Value{Type: enrich.String, Text: "north"},
	})
	source.Fields = append(source.Fields, enrich.Field{Name: "must", Path: "must", Type: enrich.Bool})
	c := collection(t, source)
	store := open(t)
	advice, err := store.TypeAdvice(t.Context(), source)
	if err != nil || len(advice) != 0 {
		t.Errorf("no collection: %q, %v", advice, err)
	}
	good := bson.D{{Key: "shop", Value: "north"}, {Key: "score", Value: "3.5"}, {Key: "must", Value: true}}
	key := func(id any) bson.D { return append(bson.D{{Key: "id", Value: id}}, good...) }
	insert := func(docs ...any) {
		t.Helper()
		if _, err := c.InsertMany(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
	}
	insert(key(7), key(8.0))
	if advice, err = store.TypeAdvice(t.Context(), source); err != nil || len(advice) != 0 {
		t.Errorf("documents that fit: %q, %v", advice, err)
	}
	insert(
		good, key("7"), key("8"), key(bson.A{7}), key(bson.Binary{Subtype: 3, Data: make([]byte, 16)}),
		bson.D{
			{Key: "id", Value: 9},
			{Key: "shop", Value: "north"},
			{Key: "names", Value: bson.A{"a", 1}},
			{Key: "score", Value: "high"},
		},
		bson.D{{Key: "id", Value: 9}, {Key: "shop", Value: 5}, {Key: "must", Value: true}},
		bson.D{{Key: "id", Value: 9}, {Key: "shop", Value: "south"}, {Key: "names", Value: 5}}, // not for this source
	)
	want := []string{
		`field "id" is array, not int64, in 1 of 10 documents, which no read returns`,
		`field "id" is binary of subtype 3, not int64, in 1 of 10 documents, which no read returns`,
		`field "id" is missing in 1 of 10 documents, which no read returns`,
		`field "id" is string, not int64, in 2 of 10 documents, which no read returns`,
		`field "must" is missing and has no default in 1 of 10 documents, whose extension is null`,
		`field "names" is array, which does not fit strings, in 1 of 10 documents, whose extension is null`,
		`field "score" is string, which does not fit number, in 1 of 10 documents, whose extension is null`,
		`field "shop" is 32-bit integer, not string, in 1 of 10 documents, which no read returns`,
	}
	advice, err = store.TypeAdvice(t.Context(), source)
	if err != nil || !slices.Equal(advice, want) {
		t.Errorf("%v\n got %q\nwant %q", err, advice, want)
	}
}
