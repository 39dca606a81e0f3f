// Package mongostore reads extensions from MongoDB. It implements [enrich.Store].
package mongostore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/enrich"
)

// Store reads extensions with one find command for each call of [Store.Find]. It is safe for concurrent use. The driver
// keeps the connections: a Store can be opened, and stays usable, while MongoDB is down.
type Store struct {
	// Ended, if not nil, is called when a command has ended, with its error if it failed. It is called by many goroutines
	// at the same time, and must not be changed once reads have started.
	Ended func(src *enrich.Source, c *enrich.Command, err error)

	client *mongo.Client
}

var _ enrich.Store = (*Store)(nil)

// Open returns a Store for a MongoDB connection string, which is all of its configuration: read preference, timeouts,
// pool size, TLS and credentials are options of the string. It fails if uri is malformed, not if MongoDB does not answer.
// The changes are for observers of the driver.
func Open(uri string, changes ...func(*options.ClientOptions)) (*Store, error) {
	o := options.Client().ApplyURI(uri)
	if o.AppName == nil {
		o.SetAppName("weft")
	}
	for _, change := range changes {
		change(o)
	}
	client, err := mongo.Connect(o)
	if err != nil {
		return nil, err
	}
	return &Store{client: client}, nil
}

// Close closes all connections. Reads that are under way have until ctx ends.
func (s *Store) Close(ctx context.Context) error { return s.client.Disconnect(ctx) }

func (s *Store) collection(src *enrich.Source) *mongo.Collection {
	return s.client.Database(src.Database).Collection(src.Collection)
}

// projection asks for the fields of src and of its conditions. MongoDB takes no path that is inside of another.
func projection(src *enrich.Source) bson.D {
	paths := make([]string, 0, len(src.Fields)+len(src.Where))
	for _, f := range src.Fields {
		paths = append(paths, f.Path)
	}
	for _, c := range src.Where {
		paths = append(paths, c.Field)
	}
	slices.Sort(paths)
	asked := bson.D{}
	for _, p := range slices.Compact(paths) {
		inside := func(e bson.E) bool { return strings.HasPrefix(p, e.Key+".") }
		if !slices.ContainsFunc(asked, inside) {
			asked = append(asked, bson.E{Key: p, Value: 1})
		}
	}
	isID := func(e bson.E) bool { return e.Key == "_id" || strings.HasPrefix(e.Key, "_id.") }
	if !slices.ContainsFunc(asked, isID) {
		asked = append(asked, bson.E{Key: "_id", Value: 0})
	}
	return asked
}

// Find implements [enrich.Store] with one find command, except where several documents match a key.
func (s *Store) Find(ctx context.Context, src *enrich.Source, keys []enrich.Key) []enrich.Extension {
	command := &enrich.Command{Began: time.Now(), Keys: len(keys)}
	r := read{Source: src, collection: s.collection(src), projection: projection(src)}
	var found []enrich.Extension
	if len(keys) == 1 {
		json, err := r.findOne(ctx, keys[0])
		found = []enrich.Extension{{JSON: json, Err: err}}
	} else {
		found = r.findMany(ctx, keys)
	}
	command.Ended = time.Now()
	for i := range found {
		found[i].Command = command
	}
	if s.Ended != nil {
		s.Ended(src, command, readError(found[0].Err))
	}
	return found
}

// read is one read of a source.
type read struct {
	*enrich.Source
	collection *mongo.Collection
	projection bson.D
}

// readError leaves out the errors of documents that could be read. If a command failed, all its keys have its error.
func readError(err error) error {
	if errors.Is(err, enrich.ErrNotFound) || errors.Is(err, enrich.ErrWrongType) {
		return nil
	}
	return err
}

func (s *read) findOne(ctx context.Context, key enrich.Key) ([]byte, error) {
	filter := make(bson.D, len(key))
	for i, c := range s.Where {
		filter[i] = bson.E{Key: c.Field, Value: bsonValue(key[i])}
	}
	doc, err := s.collection.FindOne(ctx, filter, options.FindOne().SetProjection(s.projection)).Raw()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return nil, enrich.ErrNotFound
	case err != nil:
		return nil, s.failed(err)
	}
	return appendExtension(make([]byte, 0, len(doc)), s.Source, key, doc)
}

func (s *read) failed(err error) error {
	return fmt.Errorf("read %s.%s: %w", s.Database, s.Collection, err)
}

// findMany reads the documents of all keys at once. Of each key it takes the first, as findOne does.
func (s *read) findMany(ctx context.Context, keys []enrich.Key) []enrich.Extension {
	found := make([]enrich.Extension, len(keys))
	fail := func(err error) []enrich.Extension {
		for i := range found {
			found[i] = enrich.Extension{Err: err}
		}
		return found
	}
	varies := differing(keys)
	in := make(bson.A, len(keys))
	index := make(map[enrich.Value]int, len(keys))
	for i, key := range keys {
		found[i].Err = enrich.ErrNotFound
		in[i] = bsonValue(key[varies])
		index[key[varies]] = i
	}
	filter := make(bson.D, len(s.Where))
	for i, c := range s.Where {
		filter[i] = bson.E{Key: c.Field, Value: bsonValue(keys[0][i])}
	}
	filter[varies].Value = bson.D{{Key: "$in", Value: in}}
	cursor, err := s.collection.Find(ctx, filter, options.Find().SetProjection(s.projection).SetBatchSize(int32(min(2*len(keys), math.MaxInt32))))
	if err != nil {
		return fail(s.failed(err))
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
	again := make([]bool, len(keys)) // MongoDB is asked for these one by one
	for cursor.Next(ctx) {
		s.assign(cursor.Current, varies, keys, index, found, again)
	}
	if err := cursor.Err(); err != nil {
		return fail(s.failed(err))
	}
	for i, key := range keys {
		if again[i] {
			found[i].JSON, found[i].Err = s.findOne(ctx, key)
		}
	}
	return found
}

// assign gives a document to the key for which MongoDB has found it, unless that has one. Where that cannot be told, or there
// are several, the keys that it may have been found for are to be asked for again: which document is the first of a key would
// depend on the other keys, and an error of one key must be none of another.
func (s *read) assign(doc bson.Raw, varies int, keys []enrich.Key, index map[enrich.Value]int, found []enrich.Extension, again []bool) {
	d, err := parse(doc, len(s.Fields)+len(s.Where))
	if err != nil {
		return
	}
	v, ok, err := d.lookup(s.Where[varies].Field)
	if key, isKey := keyOf(v); ok && isKey {
		if i, known := index[key]; known {
			if errors.Is(found[i].Err, enrich.ErrNotFound) {
				found[i].JSON, found[i].Err = appendExtension(make([]byte, 0, len(doc)), s.Source, keys[i], doc)
			}
			return
		}
	}
	known := false
	if ok && v.Type == bson.TypeArray {
		for _, key := range keysOf(v) {
			if i, is := index[key]; is {
				known, again[i] = true, true
			}
		}
	}
	if known {
		return
	}
	// It was found by way of an array of documents, say; or, if it has a value there, in the collation of the collection, and
	// is the first of none that has another.
	inside := err != nil || !ok
	for i := range keys {
		again[i] = again[i] || inside || errors.Is(found[i].Err, enrich.ErrNotFound)
	}
}

// differing returns the condition in which keys differ.
func differing(keys []enrich.Key) int {
	for i := range keys[0] {
		if keys[0][i] != keys[1][i] {
			return i
		}
	}
	return len(keys[0]) - 1
}

// IsUnavailable reports whether err is of a server that could not be reached, or did not answer, in the time that the
// connection string allows, so that another try may help. An error that a server has replied with is none.
func IsUnavailable(err error) bool {
	if err == nil || errors.Is(err, mongo.ErrClientDisconnected) {
		return false
	}
	return mongo.IsTimeout(err) || mongo.IsNetworkError(err) || !errors.As(err, new(mongo.ServerError))
}
