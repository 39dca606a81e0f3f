package mongostore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"weft/enrich"
	"weft/test/harness"
	"weft/test/storetest"
)

// mongod is the server of the tests of this package.
var mongod *harness.Mongod

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weft-mongod")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if mongod, err = harness.StartMongod(context.Background(), harness.MongodOptions{Dir: dir}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	_ = mongod.Stop(10 * time.Second)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func open(t *testing.T) *Store {
	t.Helper()
	store, err := Open(mongod.URI())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	return store
}

var databases atomic.Int64

// collection returns a new collection that the test can write to. It changes source to use it.
func collection(t *testing.T, source *enrich.Source) *mongo.Collection {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(mongod.URI()))
	if err != nil {
		t.Fatal(err)
	}
	source.Database = fmt.Sprintf("mongostore_%d", databases.Add(1))
	db := client.Database(source.Database)
	t.Cleanup(func() {
		_ = db.Drop(context.Background())
		_ = client.Disconnect(context.Background())
	})
	return db.Collection(source.Collection)
}

func TestStore(t *testing.T) {
	storetest.Test(t, func(t *testing.T, source *enrich.Source, documents ...string) enrich.Store {
		c := collection(t, source)
		for _, d := range documents {
			var doc bson.D
			if err := bson.UnmarshalExtJSON([]byte(d), false, &doc); err != nil {
				t.Fatal(err)
			}
			if _, err := c.InsertOne(t.Context(), doc); err != nil {
				t.Fatal(err)
			}
		}
		return open(t)
	})
}

// TestKeyTypes: MongoDB compares numbers of different types by value.
func TestKeyTypes(t *testing.T) {
	decimal, err := bson.ParseDecimal128("7")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		key  any
		want error
	}{
		{int32(7), nil},
		{int64(7), nil},
		{float64(7), nil},
		{decimal, enrich.ErrWrongType},
		{bson.A{int32(7), int32(8)}, enrich.ErrWrongType},
		{float64(7.5), enrich.ErrNotFound},
		{"7", enrich.ErrNotFound},
		{true, enrich.ErrNotFound},
		{nil, enrich.ErrNotFound},
		{bson.D{{Key: "$gt", Value: 0}}, enrich.ErrNotFound},
	}
	store := open(t)
	for _, test := range tests {
		source := storetest.Source()
		if _, err := collection(t, source).InsertOne(t.Context(), bson.D{{Key: "id", Value: test.key}}); err != nil {
			t.Fatal(err)
		}
		for _, keys := range [][]enrich.Key{number(7), number(7, 9), number(9, 10, 7)} {
			i := slices.IndexFunc(keys, func(k enrich.Key) bool { return k[0].Int == 7 })
			err := store.Find(t.Context(), source, keys)[i].Err
			if !errors.Is(err, test.want) {
				t.Errorf("key %T %v among %d: %v, want %v", test.key, test.key, len(keys), err, test.want)
			}
		}
	}
}

// TestKeyInArray: MongoDB finds keys in arrays of documents. Such a document is an error for its key, and does not
// affect the other keys of the command.
func TestKeyInArray(t *testing.T) {
	source := storetest.Source()
	source.Where[0].Field = "items.id"
	source.Fields = []enrich.Field{{Name: "n", Path: "n", Type: enrich.Any, Default: "0"}}
	c := collection(t, source)
	for _, doc := range []bson.D{
		{{Key: "items", Value: bson.A{bson.D{{Key: "id", Value: 7}}}}},
		{{Key: "items", Value: bson.D{{Key: "id", Value: 8}}}},
	} {
		if _, err := c.InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
	}
	store := open(t)
	for _, keys := range [][]enrich.Key{number(7), number(7, 8, 9)} {
		found := store.Find(t.Context(), source, keys)
		if !errors.Is(found[0].Err, enrich.ErrWrongType) {
			t.Errorf("among %d: %v", len(keys), found[0].Err)
		}
		if len(keys) > 1 && (found[1].Err != nil || !errors.Is(found[2].Err, enrich.ErrNotFound)) {
			t.Errorf("the others: %v, %v", found[1].Err, found[2].Err)
		}
	}
}

// number returns keys that are numbers.
func number(ns ...int64) (keys []enrich.Key) {
	for _, n := range ns {
		keys = append(keys, enrich.Key{{Type: enrich.Int64, Int: n}})
	}
	return keys
}

// TestOtherKeys reads documents by keys of types that JSON lacks, and converts such fields.
func TestOtherKeys(t *testing.T) {
	id := bson.NewObjectID()
	uuid := bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte("0123456789abcdef")}
	decimal, err := bson.ParseDecimal128("70E-1")
	if err != nil {
		t.Fatal(err)
	}
	const canonical = "30313233-3435-3637-3839-616263646566"
	doc := bson.D{
		{Key: "_id", Value: id},
		{Key: "uuid", Value: uuid},
		{Key: "at", Value: bson.DateTime(0)},
		{Key: "N", Value: bson.A{3, decimal}},
	}
	fields := []enrich.Field{
		{Name: "id", Path: "_id", Type: enrich.ObjectID},
		{Name: "uuid", Path: "uuid", Type: enrich.UUID},
		{Name: "at", Path: "at", Type: enrich.Date},
		{Name: "n", Path: "N", Type: enrich.Any}, // sorts before _id
	}
	want := `{"id":"` + id.Hex() + `","uuid":"` + canonical + `","at":"1970-01-01T00:00:00Z","n":[3,"7.0"]}`
	store := open(t)
	for field, value := range map[string]enrich.Value{
		"_id":  {Type: enrich.ObjectID, Text: id.Hex()},
		"uuid": {Type: enrich.UUID, Text: canonical},
	} {
		source := &enrich.Source{Collection: "documents", Where: []enrich.Condition{{Field: field}}, Fields: fields}
		if _, err := collection(t, source).InsertOne(t.Context(), doc); err != nil {
			t.Fatal(err)
		}
		other := value
		other.Text = strings.Repeat("f", 24)
		if field == "uuid" {
			other.Text = strings.Replace(canonical, "3", "4", 1)
		}
		for _, keys := range [][]enrich.Key{{{value}}, {{other}, {value}}} {
			found := store.Find(t.Context(), source, keys)
			if last := found[len(found)-1]; string(last.JSON) != want || last.Err != nil {
				t.Errorf("%s: %s, %v; want %s", field, last.JSON, last.Err, want)
			}
			if len(found) > 1 && !errors.Is(found[0].Err, enrich.ErrNotFound) {
				t.Errorf("another %s: %v", field, found[0].Err)
			}
		}
	}
}

// TestOneCommand: a read is one command, for any number of keys.
func TestOneCommand(t *testing.T) {
	source := storetest.Source()
	c := collection(t, source)
	var keys []enrich.Key
	for id := range int64(1000) {
		keys = append(keys, number(id)...)
		if id%2 == 0 {
			if _, err := c.InsertOne(t.Context(), bson.D{{Key: "id", Value: id}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	var commands atomic.Int64
	store, err := Open(mongod.URI(), func(o *options.ClientOptions) {
		o.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if e.CommandName == "find" || e.CommandName == "getMore" {
				commands.Add(1)
			}
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close(context.Background()) }()
	for id, ext := range store.Find(t.Context(), source, keys) {
		if want := map[bool]error{true: nil, false: enrich.ErrNotFound}[id%2 == 0]; !errors.Is(ext.Err, want) {
			t.Fatalf("%d: %v, want %v", id, ext.Err, want)
		}
	}
	if commands.Load() != 1 {
		t.Errorf("%d commands", commands.Load())
	}
}

func TestIndexAdvice(t *testing.T) {
	key := func(names ...string) (keys bson.D) {
		for _, n := range names {
			keys = append(keys, bson.E{Key: n, Value: 1})
		}
		return keys
	}
	tests := []struct {
		name    string
		index   *mongo.IndexModel // nil for no index
		advises bool
	}{
		{"no collection", nil, true},
		{"single", &mongo.IndexModel{Keys: key("id")}, false},
		{"first of two", &mongo.IndexModel{Keys: key("id", "x")}, false},
		{"second of two", &mongo.IndexModel{Keys: key("x", "id")}, true},
		{"another", &mongo.IndexModel{Keys: key("x")}, true},
		{"hashed", &mongo.IndexModel{Keys: bson.D{{Key: "id", Value: "hashed"}}}, false},
		{"wildcard", &mongo.IndexModel{Keys: key("$**")}, false},
		{"unique", &mongo.IndexModel{Keys: key("id"), Options: options.Index().SetUnique(true)}, false},
		{"hidden", &mongo.IndexModel{Keys: key("id"), Options: options.Index().SetHidden(true)}, true},
		{"partial", &mongo.IndexModel{
			Keys: key("id"), Options: options.Index().SetPartialFilterExpression(bson.D{{Key: "x", Value: 1}}),
		}, true},
	}
	store := open(t)
	for _, test := range tests {
		source := storetest.Source()
		c := collection(t, source)
		if test.index != nil {
			if _, err := c.Indexes().CreateOne(t.Context(), *test.index); err != nil {
				t.Fatal(err)
			}
		}
		got, err := store.IndexAdvice(t.Context(), source)
		want := ""
		if test.advises {
			want = fmt.Sprintf(`db.getSiblingDB('%s').getCollection('documents').createIndex({'id': 1})`, source.Database)
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", test.name, got, err, want)
		}
	}
}

// TestServerRestarts: a Store is opened while the server is down, and reads succeed once it is up.
func TestServerRestarts(t *testing.T) {
	port, err := harness.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	store, err := Open(fmt.Sprintf("mongodb://127.0.0.1:%d/?serverSelectionTimeoutMS=200", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close(context.Background()) }()
	source := storetest.Source()

	err = find7(t, store, source)
	if err == nil || errors.Is(err, enrich.ErrNotFound) || !IsUnavailable(err) {
		t.Errorf("down: %v", err)
	}
	if err != nil && !strings.HasPrefix(err.Error(), "read storetest.documents: ") {
		t.Errorf("the error does not name the collection: %v", err)
	}
	if _, err := store.IndexAdvice(t.Context(), source); !IsUnavailable(err) {
		t.Errorf("down: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	store.Find(ended, source, number(7)) // returns immediately

	server, err := harness.StartMongod(t.Context(), harness.MongodOptions{Dir: t.TempDir(), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }()
	for !errors.Is(err, enrich.ErrNotFound) && t.Context().Err() == nil {
		err = find7(t, store, source) // waits for the server itself
	}
}

func find7(t *testing.T, store *Store, source *enrich.Source) error {
	return store.Find(t.Context(), source, number(7))[0].Err
}

func TestOpenErrors(t *testing.T) {
	for _, uri := range []string{"", "localhost", "http://localhost", "mongodb://", "mongodb://h/?maxPoolSize=x"} {
		if _, err := Open(uri); err == nil {
			t.Errorf("%q is accepted as a connection string", uri)
		}
	}
}
