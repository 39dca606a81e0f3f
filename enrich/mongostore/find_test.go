package mongostore

import (
	"errors"
	"math/rand/v2"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"weft/enrich"
	"weft/test/storetest"
)

// TestKeysTogetherAndAlone: a command for many keys returns the same extension for a key as a command for this key
// alone, for any documents in the collection.
func TestKeysTogetherAndAlone(t *testing.T) {
	store := open(t)
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(6, seed))
		source := storetest.Source()
		source.Where[0].Field = []string{"id", "a.id", "_id"}[seed%3]
		source.Fields = []enrich.Field{{Name: "n", Path: "n", Type: enrich.Int64, Default: "0"}}
		c := collection(t, source)
		if seed%2 == 0 {
			index := mongo.IndexModel{Keys: bson.D{{Key: source.Where[0].Field, Value: 1}}}
			if _, err := c.Indexes().CreateOne(t.Context(), index); err != nil {
				t.Fatal(err)
			}
		}
		var docs []any
		for n := range 1 + random.IntN(12) {
			docs = append(docs, randomDocument(random, source.Where[0].Field, n))
		}
		for _, doc := range docs { // MongoDB rejects an _id that is an array, and a duplicate _id
			if _, err := c.InsertOne(t.Context(), doc); err != nil && source.Where[0].Field != "_id" {
				t.Fatalf("%v: %v", doc, err)
			}
		}
		keys := randomKeys(random)
		alone := make([]enrich.Extension, len(keys))
		for i, key := range keys {
			alone[i] = store.Find(t.Context(), source, []enrich.Key{key})[0]
		}
		for i, ext := range store.Find(t.Context(), source, keys) {
			if string(ext.JSON) != string(alone[i].JSON) || outcome(ext.Err) != outcome(alone[i].Err) {
				t.Errorf("seed %d, key %v of %v: %s, %v; alone %s, %v; in %v",
					seed, keys[i], keys, ext.JSON, ext.Err, alone[i].JSON, alone[i].Err, docs)
			}
		}
	}
}

// outcome returns the kind of an error, as callers distinguish it.
func outcome(err error) string {
	switch {
	case err == nil:
		return "found"
	case errors.Is(err, enrich.ErrNotFound):
		return "not found"
	case errors.Is(err, enrich.ErrWrongType):
		return "wrong type"
	default:
		return err.Error()
	}
}

// randomDocument returns a document whose value at a path may be equal to one of randomKeys, or contain it.
func randomDocument(random *rand.Rand, path string, n int) bson.D {
	doc := bson.D{{Key: "n", Value: n}}
	if random.IntN(6) == 0 {
		doc = bson.D{{Key: "n", Value: "no integer"}}
	}
	id := randomValue(random, 2)
	switch {
	case path != "a.id":
		return append(doc, bson.E{Key: path, Value: id})
	case random.IntN(3) > 0:
		return append(doc, bson.E{Key: "a", Value: bson.D{{Key: "id", Value: id}}})
	default:
		inside := bson.A{bson.D{{Key: "id", Value: id}}, bson.D{{Key: "id", Value: randomValue(random, 1)}}}
		return append(doc, bson.E{Key: "a", Value: inside})
	}
}

func randomValue(random *rand.Rand, depth int) any {
	n := random.IntN(4)
	decimals := []string{"0", "10E-1", "2.0", "0.3E+1", "-0", "NaN", "1.5"}
	kinds := 9
	if depth > 0 {
		kinds += 4
	}
	switch random.IntN(kinds) {
	case 0:
		return int64(n)
	case 1:
		return float64(n)
	case 2:
		return float64(n) + 0.5
	case 3:
		d, err := bson.ParseDecimal128(decimals[random.IntN(len(decimals))])
		if err != nil {
			panic(err)
		}
		return d
	case 4:
		return string(rune('a' + n))
	case 5:
		return bson.Symbol(string(rune('a' + n)))
	case 6:
		return n%2 == 0
	case 7:
		uuid := bson.Binary{Subtype: bson.TypeBinaryUUID, Data: make([]byte, 16)}
		return []any{nil, bson.DateTime(n), uuid, bson.D{{Key: "id", Value: n}}}[n]
	case 8:
		return int32(n)
	default:
		array := bson.A{}
		for range random.IntN(4) {
			array = append(array, randomValue(random, depth-1))
		}
		return array
	}
}

// randomKeys returns at least two different keys, of all types.
func randomKeys(random *rand.Rand) (keys []enrich.Key) {
	all := number(0, 1, 2, 3, 4)
	for _, text := range []string{"a", "b", "c", "d"} {
		all = append(all, enrich.Key{{Type: enrich.String, Text: text}})
	}
	all = append(all, enrich.Key{{Type: enrich.Bool}}, enrich.Key{{Type: enrich.Bool, Int: 1}},
		enrich.Key{{Type: enrich.UUID, Text: "00000000-0000-0000-0000-000000000000"}})
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:2+random.IntN(len(all)-2)]
}

// TestCollation: a collection may compare strings case-insensitively. A document with another spelling of the key is an
// error, in a command for one key or for many.
func TestCollation(t *testing.T) {
	source := storetest.Source()
	source.Fields = []enrich.Field{{Name: "n", Path: "n", Type: enrich.Int64, Default: "0"}}
	c := collection(t, source)
	collation := bson.D{{Key: "locale", Value: "en"}, {Key: "strength", Value: 2}}
	create := bson.D{{Key: "create", Value: source.Collection}, {Key: "collation", Value: collation}}
	if err := c.Database().RunCommand(t.Context(), create).Err(); err != nil {
		t.Fatal(err)
	}
	for n, id := range []string{"Anna", "berta"} {
		if _, err := c.InsertOne(t.Context(), bson.D{{Key: "id", Value: id}, {Key: "n", Value: n}}); err != nil {
			t.Fatal(err)
		}
	}
	text := func(s string) enrich.Key { return enrich.Key{{Type: enrich.String, Text: s}} }
	found := open(t).Find(t.Context(), source, []enrich.Key{text("anna"), text("berta"), text("carla")})
	for i, want := range []string{"wrong type", "found", "not found"} {
		if got := outcome(found[i].Err); got != want {
			t.Errorf("%d: %s, %v; want %s", i, found[i].JSON, found[i].Err, want)
		}
	}
}
