package mongostore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"weft/enrich"
	"weft/enrich/storetest"
	"weft/internal/stack"
)

// mongod is the one server of all tests of this package.
var mongod *stack.Mongod

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weft-mongod")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if mongod, err = stack.StartMongod(context.Background(), stack.MongodOptions{Dir: dir}); err != nil {
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

// collection is a new one, for the test to write to; source is changed to read it.
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

// TestKeyTypes: MongoDB compares numbers by value, whatever their type.
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
		if _, err := store.Find(t.Context(), source, 7); !errors.Is(err, test.want) {
			t.Errorf("key %T %v: %v, want %v", test.key, test.key, err, test.want)
		}
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
		index   *mongo.IndexModel // nil for none
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

// TestServerAway reads while the server is down, and again when it is back, with one Store.
func TestServerAway(t *testing.T) {
	port, err := stack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	store, err := Open(fmt.Sprintf("mongodb://127.0.0.1:%d/?serverSelectionTimeoutMS=200", port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close(context.Background()) }()
	source := storetest.Source()

	_, err = store.Find(t.Context(), source, 7)
	if err == nil || errors.Is(err, enrich.ErrNotFound) || !IsUnavailable(err) {
		t.Errorf("down: %v", err)
	}
	if err != nil && !strings.HasPrefix(err.Error(), "read storetest.documents: ") {
		t.Errorf("the error does not say what was read: %v", err)
	}
	if _, err := store.IndexAdvice(t.Context(), source); !IsUnavailable(err) {
		t.Errorf("down: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Find(ctx, source, 7); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}

	server, err := stack.StartMongod(t.Context(), stack.MongodOptions{Dir: t.TempDir(), Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Kill() }()
	for !errors.Is(err, enrich.ErrNotFound) && t.Context().Err() == nil {
		_, err = store.Find(t.Context(), source, 7) // waits for a while by itself
	}
}

func TestOpenMistakes(t *testing.T) {
	for _, uri := range []string{"", "localhost", "http://localhost", "mongodb://", "mongodb://h/?maxPoolSize=x"} {
		if _, err := Open(uri); err == nil {
			t.Errorf("%q is taken for a connection string", uri)
		}
	}
}
