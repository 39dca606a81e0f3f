package mongostore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/enrich"
	"weft/enrich/cache"
	"weft/test/harness"
	"weft/test/storetest"
)

// startMember starts a replica set of one member, and returns it and its connection string.
func startMember(t testing.TB, args ...string) (*harness.Mongod, string) {
	t.Helper()
	member, err := harness.StartMongod(t.Context(), harness.MongodOptions{
		Dir:  t.TempDir(),
		Args: append([]string{"--replSet", "rs0", "--oplogSize", "50", "--setParameter", "enableTestCommands=1"}, args...),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = member.Kill() })
	host := strings.TrimPrefix(member.URI(), "mongodb://")
	members := bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: host}}}
	_, err = member.Run(t.Context(), "admin", bson.D{
		{Key: "replSetInitiate", Value: bson.D{{Key: "_id", Value: "rs0"}, {Key: "members", Value: members}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	uri := member.URI() + "/?replicaSet=rs0"
	client := dial(t, uri) // waits for a primary
	if _, err := client.Database("ready").Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
		t.Fatal(err)
	}
	return member, uri
}

func dial(t testing.TB, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

func openStore(t testing.TB, uri string, with ...func(*options.ClientOptions)) *Store {
	t.Helper()
	store, err := Open(uri, with...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	return store
}

// cached returns a source with a cache policy, in a database of its own.
func cached(fields ...string) *enrich.Source {
	src := storetest.Source()
	src.Database = fmt.Sprintf("watch_%d", databases.Add(1))
	src.Fields = []enrich.Field{{Name: "n", Path: "n", Type: enrich.Any, Default: "0"}}
	src.Cache = &enrich.CachePolicy{MaxSize: 1 << 20, MaxAge: time.Hour, StaleIfError: time.Hour}
	src.Where = nil
	for _, f := range fields {
		src.Where = append(src.Where, enrich.Condition{Field: f, Type: enrich.Int64})
	}
	return src
}

// recorder records the calls of Watch as text. Reports that changes are current are not recorded, but counted.
type recorder struct {
	t      testing.TB
	calls  chan string
	next   enrich.Changes // also receives the calls, if not nil
	mu     sync.Mutex
	latest time.Time
}

func (r *recorder) record(text string, forward func(enrich.Changes)) {
	if r.next != nil {
		forward(r.next)
	}
	r.calls <- text
}

func (r *recorder) Begin()       { r.record("begin", enrich.Changes.Begin) }
func (r *recorder) ChangeAny()   { r.record("any", enrich.Changes.ChangeAny) }
func (r *recorder) Lost()        { r.record("lost", enrich.Changes.Lost) }
func (r *recorder) Unsupported() { r.record("unsupported", enrich.Changes.Unsupported) }
func (r *recorder) Change(id string) {
	r.record("change "+idText(id), func(c enrich.Changes) { c.Change(id) })
}

func (r *recorder) Match(src *enrich.Source, key enrich.Key) {
	r.record(fmt.Sprintf("match %s %v", src.Name, key), func(c enrich.Changes) { c.Match(src, key) })
}

func (r *recorder) Current(at time.Time) {
	if r.next != nil {
		r.next.Current(at)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.latest = at
}

// idText returns an _id as text.
func idText(id string) string {
	return bson.RawValue{Type: bson.Type(id[0]), Value: []byte(id[1:])}.String()
}

// awaitCurrent waits until changes up to now are reported.
func (r *recorder) awaitCurrent() {
	r.t.Helper()
	now := time.Now()
	harness.Eventually(r.t, "all changes are reported", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.latest.After(now)
	})
}

// expect waits for calls.
func (r *recorder) expect(want ...string) {
	r.t.Helper()
	for i, w := range want {
		if got := <-r.calls; got != w {
			r.t.Fatalf("call %d: %s, want %s", i, got, w)
		}
	}
}

// watchWith watches sources until the test ends, and waits until changes are reported.
func watchWith(t testing.TB, store *Store, sources ...*enrich.Source) *recorder {
	t.Helper()
	r := &recorder{t: t, calls: make(chan string, 100_000)}
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	running.Go(func() { store.Watch(ctx, sources, r) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return r
}

// TestChangesOfDocuments: each change is reported with the document and its new keys.
func TestChangesOfDocuments(t *testing.T) {
	_, uri := startMember(t)
	client, store := dial(t, uri), openStore(t, uri)
	decimal, err := bson.ParseDecimal128("7")
	must(t, err)
	id := func(n int) bson.D { return bson.D{{Key: "_id", Value: n}} }
	set := func(field string, value any) bson.D {
		return bson.D{{Key: "$set", Value: bson.D{{Key: field, Value: value}}}}
	}
	one, two, deep, byID := cached("id"), cached("id", "kind"), cached("a.id"), cached("_id")
	two.Where[1].Type = enrich.String
	for i, src := range []*enrich.Source{one, two, deep, byID} {
		src.Database, src.Name = one.Database, []string{"one", "two", "deep", "byID"}[i]
	}
	c := client.Database(one.Database).Collection(one.Collection)
	r := watchWith(t, store, one, two, deep, byID)
	r.expect("begin")
	type write = func(ctx context.Context) error
	insert := func(doc bson.D) write {
		return func(ctx context.Context) error { _, err := c.InsertOne(ctx, doc); return err }
	}
	update := func(n int, change bson.D) write {
		return func(ctx context.Context) error { _, err := c.UpdateOne(ctx, id(n), change); return err }
	}
	for _, test := range []struct {
		name  string
		write write
		want  []string
	}{
		{"insert", insert(append(id(1), bson.E{Key: "id", Value: 7})), []string{"match one [7]", "match byID [1]"}},
		{"update", update(1, set("n", 5)), []string{"match one [7]", "match byID [1]"}},
		{"another key", update(1, set("id", 8.0)), []string{"match one [8]", "match byID [1]"}},
		{"two conditions", update(1, set("kind", "x")), []string{"match one [8]", "match two [8 x]", "match byID [1]"}},
		{"replace", func(ctx context.Context) error {
			_, err := c.ReplaceOne(ctx, id(1), bson.D{{Key: "a", Value: bson.D{{Key: "id", Value: 3}}}})
			return err
		}, []string{"match deep [3]", "match byID [1]"}},
		{"Decimal128", update(1, set("id", decimal)), []string{"match one [7]", "match deep [3]", "match byID [1]"}},
		{"no key", update(1, set("id", bson.DateTime(7))), []string{"match deep [3]", "match byID [1]"}},
		{"an array", update(1, set("id", bson.A{1, 2})), []string{"any", "match deep [3]", "match byID [1]"}},
		{
			"an array on the path", update(1, set("a", bson.A{bson.D{{Key: "id", Value: 1}}})),
			[]string{"any", "any", "match byID [1]"},
		},
		{"delete", func(ctx context.Context) error { _, err := c.DeleteOne(ctx, id(1)); return err }, nil},
	} {
		t.Log(test.name)
		must(t, test.write(t.Context()))
		r.expect(append([]string{`change {"$numberInt":"1"}`}, test.want...)...)
	}
	r.awaitCurrent()
	must(t, c.Drop(t.Context()))
	r.expect("any", "any", "lost", "begin") // drop, invalidate
	must(t, insert(bson.D{{Key: "_id", Value: 2}})(t.Context()))
	r.expect(`change {"$numberInt":"2"}`, "match byID [2]")
	must(t, client.Database("admin").RunCommand(t.Context(), bson.D{
		{Key: "renameCollection", Value: one.Database + "." + one.Collection}, {Key: "to", Value: one.Database + ".other"},
	}).Err())
	r.expect("any", "any", "lost", "begin")
	must(t, insert(bson.D{{Key: "_id", Value: 3}})(t.Context()))
	r.expect(`change {"$numberInt":"3"}`, "match byID [3]")
	must(t, client.Database(one.Database).Drop(t.Context()))
	r.expect("any", "any", "lost", "begin")
}

// TestChangesWithACollation: strings with other bytes may be equal keys.
func TestChangesWithACollation(t *testing.T) {
	_, uri := startMember(t)
	client, store := dial(t, uri), openStore(t, uri)
	collation := &options.Collation{Locale: "en", Strength: 2}
	for _, existsBefore := range []bool{true, false} {
		src := cached("id")
		db := client.Database(src.Database)
		create := func() {
			must(t, db.CreateCollection(t.Context(), src.Collection, options.CreateCollection().SetCollation(collation)))
		}
		if existsBefore {
			create()
		}
		r := watchWith(t, store, src)
		r.expect("begin")
		if !existsBefore {
			create()
		}
		for _, id := range []any{"Anna", 7} {
			doc := bson.D{{Key: "_id", Value: 1}, {Key: "id", Value: id}}
			_, err := db.Collection(src.Collection).InsertOne(t.Context(), doc)
			must(t, err)
			want := map[any]string{"Anna": "any", 7: "match  [7]"}[id]
			r.expect(`change {"$numberInt":"1"}`, want)
			_, err = db.Collection(src.Collection).DeleteOne(t.Context(), bson.D{})
			must(t, err)
			r.expect(`change {"$numberInt":"1"}`)
		}
	}
}

// TestNoChangeStreams: Watch reports that a standalone server, views and time series do not support change streams.
func TestNoChangeStreams(t *testing.T) {
	_, uri := startMember(t)
	for name, create := range map[string]func(db *mongo.Database, name string) error{
		"standalone": nil,
		"view": func(db *mongo.Database, name string) error {
			return db.CreateView(t.Context(), name, "documents", mongo.Pipeline{})
		},
		"timeseries": func(db *mongo.Database, name string) error {
			o := options.CreateCollection().SetTimeSeriesOptions(options.TimeSeries().SetTimeField("at"))
			return db.CreateCollection(t.Context(), name, o)
		},
	} {
		src, at := cached("id"), mongod.URI()
		src.Collection = "target"
		if create != nil {
			at = uri
			must(t, create(dial(t, uri).Database(src.Database), src.Collection))
		}
		store := openStore(t, at)
		watched := make(chan error, 10)
		store.Watched = func(_, _ string, err error) { watched <- err }
		watchWith(t, store, src).expect("unsupported")
		if err := <-watched; !errors.Is(err, ErrNoChangeStream) {
			t.Errorf("%s: %v", name, err)
		}
		advice, err := store.ChangeAdvice(t.Context(), src)
		if err != nil || !strings.Contains(advice, ErrNoChangeStream.Error()) {
			t.Errorf("%s: %q, %v", name, advice, err)
		}
		if ext := store.Find(t.Context(), src, number(7))[0]; !errors.Is(ext.Err, enrich.ErrNotFound) {
			t.Errorf("%s: %v", name, ext.Err)
		}
	}
	store := openStore(t, uri)
	if advice, err := store.ChangeAdvice(t.Context(), cached("id")); advice != "" || err != nil {
		t.Errorf("replica set: %q, %v", advice, err)
	}
}

// failChangeStreams makes the server fail commands of change streams of weft.
func failChangeStreams(t *testing.T, member *harness.Mongod, mode any, data ...bson.E) {
	t.Helper()
	_, err := member.Run(t.Context(), "admin", bson.D{
		{Key: "configureFailPoint", Value: "failCommand"},
		{Key: "mode", Value: mode},
		{Key: "data", Value: append(bson.D{
			{Key: "failCommands", Value: bson.A{"aggregate", "getMore"}}, {Key: "appName", Value: "weft"},
		}, data...)},
	})
	must(t, err)
}

// TestChangeStreamEnds: after an error, no change is missed, or Watch says so.
func TestChangeStreamEnds(t *testing.T) {
	member, uri := startMember(t)
	client := dial(t, uri)
	code := func(n int) bson.E { return bson.E{Key: "errorCode", Value: n} }
	const historyLost, tooLarge, notPrimary, unauthorized = 286, 10334, 10107, 13
	for _, test := range []struct {
		name string
		data bson.E
		want []string
	}{
		// The driver resumes the stream.
		{"not primary", code(notPrimary), nil},
		{"connection", bson.E{Key: "closeConnection", Value: true}, nil},
		{"not in the oplog", code(historyLost), []string{"lost", "begin"}},
		{"too large", code(tooLarge), []string{"lost", "begin"}},
		{"not authorized, then authorized", code(unauthorized), []string{"lost", "begin"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := cached("id")
			c := client.Database(src.Database).Collection(src.Collection)
			r := watchWith(t, openStore(t, uri), src)
			r.expect("begin")
			r.awaitCurrent()
			failChangeStreams(t, member, bson.D{{Key: "times", Value: 1}}, test.data)
			r.expect(test.want...)
			_, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "id", Value: 7}})
			must(t, err)
			r.expect(`change {"$numberInt":"1"}`, "match  [7]")
		})
	}
}

// TestSlowResume: if MongoDB takes too long to find the changes after a token, a new stream is begun: the next attempt
// would take as long.
func TestSlowResume(t *testing.T) {
	member, uri := startMember(t)
	src := cached("id")
	r := watchWith(t, openStore(t, uri), src)
	r.expect("begin")
	r.awaitCurrent()
	// A getMore of the stream, and the command that resumes it.
	failChangeStreams(t, member, bson.D{{Key: "times", Value: 2}},
		bson.E{Key: "blockConnection", Value: true},
		bson.E{Key: "blockTimeMS", Value: (changeTimeout + time.Second).Milliseconds()})
	r.expect("lost", "lost", "begin")
	c := dial(t, uri).Database(src.Database).Collection(src.Collection)
	_, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "id", Value: 7}})
	must(t, err)
	r.expect(`change {"$numberInt":"1"}`, "match  [7]")
}

// TestChangesDuringAnOutage: changes are reported later if the stream could not be resumed for some time.
func TestChangesDuringAnOutage(t *testing.T) {
	member, uri := startMember(t)
	src := cached("id")
	client := dial(t, uri)
	c := client.Database(src.Database).Collection(src.Collection)
	store := openStore(t, uri)
	watched := make(chan error, 100)
	store.Watched = func(_, _ string, err error) { watched <- err }
	r := watchWith(t, store, src)
	r.expect("begin")
	if err := <-watched; err != nil {
		t.Fatal(err)
	}
	r.awaitCurrent()
	failChangeStreams(t, member, "alwaysOn", bson.E{Key: "closeConnection", Value: true})
	r.expect("lost")
	if err := <-watched; !IsUnavailable(err) {
		t.Errorf("%v", err)
	}
	two := bson.D{{Key: "_id", Value: 2}}
	_, err := c.InsertOne(t.Context(), two)
	must(t, err)
	_, err = c.UpdateOne(t.Context(), two, bson.D{{Key: "$set", Value: bson.D{{Key: "id", Value: 8}}}})
	must(t, err)
	_, err = c.DeleteOne(t.Context(), two) // the update comes without a document
	must(t, err)
	_, err = c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "id", Value: 7}})
	must(t, err)
	failChangeStreams(t, member, "off")
	for {
		if call := <-r.calls; call != "lost" {
			if call != `change {"$numberInt":"2"}` { // the insertion
				t.Errorf("%s", call)
			}
			break
		}
	}
	r.expect(`change {"$numberInt":"2"}`, `change {"$numberInt":"2"}`, `change {"$numberInt":"1"}`, "match  [7]")
	if err := <-watched; err != nil {
		t.Error(err)
	}
}

// TestWatchReconnects: a changed connection string begins a new stream, and Close ends it.
func TestWatchReconnects(t *testing.T) {
	_, uri := startMember(t)
	src, store := cached("id"), New()
	r := &recorder{t: t, calls: make(chan string, 100)}
	ended := make(chan struct{})
	go func() { store.Watch(t.Context(), []*enrich.Source{src}, r); close(ended) }()
	must(t, store.Connect(t.Context(), uri))
	r.expect("begin")
	must(t, store.Connect(t.Context(), uri+"&appName=second"))
	r.expect("lost", "begin")
	r.awaitCurrent()
	must(t, store.Close(context.Background()))
	<-ended
	r.expect("lost")
}

// TestReadsAfterChanges: a read for a cache includes the changes that were reported before it began.
func TestReadsAfterChanges(t *testing.T) {
	_, uri := startMember(t)
	src := cached("id")
	finds := make(chan bson.Raw, 100)
	store := openStore(t, uri, func(o *options.ClientOptions) {
		o.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if e.CommandName == "find" {
				finds <- slices.Clone(e.Command)
			}
		}})
	})
	c := dial(t, uri).Database(src.Database).Collection(src.Collection)
	concernOf := func(src *enrich.Source, keys ...enrich.Key) bson.RawValue {
		store.Find(t.Context(), src, keys)
		return (<-finds).Lookup("readConcern")
	}
	if concern := concernOf(src, number(7)...); concern.Type != 0 {
		t.Errorf("before Watch: %v", concern)
	}
	r := watchWith(t, store, src)
	r.expect("begin")
	var before bson.Timestamp
	for n := range 3 {
		_, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: n}})
		must(t, err)
		r.expect(fmt.Sprintf(`change {"$numberInt":"%d"}`, n))
		for _, keys := range [][]enrich.Key{number(7), number(7, 8)} {
			concern := concernOf(src, keys...).Document()
			seconds, i, _ := concern.Lookup("afterClusterTime").TimestampOK()
			after := bson.Timestamp{T: seconds, I: i}
			if level := concern.Lookup("level").StringValue(); level != "majority" || !after.After(before) && len(keys) == 1 {
				t.Errorf("read concern %s after %v", concern, before)
			}
			before = after
		}
	}
	uncached := *src
	uncached.Cache = nil
	if concern := concernOf(&uncached, number(7)...); concern.Type != 0 {
		t.Errorf("without a cache: %v", concern)
	}
}

// TestCachedAndDirectReads: once all changes are reported, a cache returns what MongoDB returns, for any documents and
// any selection of fields.
func TestCachedAndDirectReads(t *testing.T) {
	_, uri := startMember(t)
	client := dial(t, uri)
	store := openStore(t, uri)
	var hits uint64
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(22, seed))
		src := cached([]string{"id", "a.id", "_id"}[seed%3])
		src.Name = "x"
		src.Fields = []enrich.Field{
			{Name: "n", Path: "n", Type: enrich.Int64, Default: "0"}, {Name: "a", Path: "a", Type: enrich.Any, Default: "null"},
		}
		src.Where[0].Type = enrich.UUID // randomKeys has no other keys whose type MongoDB does not know
		rule := enrich.Rule{Sources: []*enrich.Source{src}, Select: enrich.Select{Param: "fields"}}.Ready()
		var selections []*enrich.Source
		for _, names := range []string{"x", "x.n", "x.a"} {
			selected, _, _ := rule.Narrow("/?fields=" + names)
			selections = append(selections, selected.Sources[0])
		}
		c := client.Database(src.Database).Collection(src.Collection)
		_, err := c.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: src.Where[0].Field, Value: 1}}})
		must(t, err)
		reported := &recorder{t: t, calls: make(chan string, 100_000)}
		cache := cache.New(enrich.Batch(store), func(ctx context.Context, sources []*enrich.Source, to enrich.Changes) {
			reported.next = to
			store.Watch(ctx, sources, reported)
		})
		cache.Use([]*enrich.Rule{{Sources: []*enrich.Source{src}}})
		reported.expect("begin")
		keys := randomKeys(random)
		for n := range 60 {
			id := random.IntN(5)
			doc := randomDocument(random, src.Where[0].Field, n)
			switch random.IntN(4) {
			case 0:
				_, err = c.DeleteOne(t.Context(), bson.D{{Key: "n", Value: n - 1 - random.IntN(5)}})
			case 1:
				_, err = c.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: doc[:1]}})
			default:
				if src.Where[0].Field == "_id" {
					_, err = c.InsertOne(t.Context(), doc)
				} else {
					_, err = c.ReplaceOne(t.Context(), bson.D{{Key: "_id", Value: id}}, doc, options.Replace().SetUpsert(true))
				}
			}
			if err != nil && src.Where[0].Field != "_id" {
				t.Fatalf("%v: %v", doc, err)
			}
			_, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: fmt.Sprintf("last %d", n)}})
			must(t, err)
			for last := fmt.Sprintf(`change "last %d"`, n); <-reported.calls != last; {
			}
			for _, i := range random.Perm(len(selections) * len(keys)) {
				src, key := selections[i/len(keys)], keys[i%len(keys)]
				uncached := *src
				uncached.Cache = nil
				got := cache.Find(t.Context(), src, []enrich.Key{key})[0]
				want := store.Find(t.Context(), &uncached, []enrich.Key{key})[0]
				if string(got.JSON) != string(want.JSON) || outcome(got.Err) != outcome(want.Err) {
					t.Fatalf("seed %d, write %d, fields %v, key %v: %s: %s, %v; MongoDB has %s, %v",
						seed, n, src.Fields, key, got.Cache, got.JSON, got.Err, want.JSON, want.Err)
				}
			}
		}
		hits += cache.Stats()[0].Hits
		cache.Close()
	}
	if hits < 1000 {
		t.Errorf("only %d hits", hits)
	}
}
