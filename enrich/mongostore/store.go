// Package mongostore reads extensions from MongoDB. It implements [enrich.Store].
package mongostore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"weft/enrich"
)

// Store reads extensions with one find command each. It is safe for concurrent use. Connections are the driver's
// business: a Store can be opened, and stays usable, while MongoDB is down.
type Store struct {
	client  *mongo.Client
	sources sync.Map // *enrich.Source → *source
}

var _ enrich.Store = (*Store)(nil)

// Open returns a Store for a MongoDB connection string, which is the only configuration there is: read preference,
// timeouts, pool size, TLS and credentials are options of the string. It fails if uri is malformed, not if MongoDB
// does not answer.
func Open(uri string) (*Store, error) {
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetAppName("weft"))
	if err != nil {
		return nil, err
	}
	return &Store{client: client}, nil
}

// Close ends all connections. Reads that are under way get until ctx ends.
func (s *Store) Close(ctx context.Context) error { return s.client.Disconnect(ctx) }

// source is an enrich.Source, prepared.
type source struct {
	collection *mongo.Collection
	options    *options.FindOneOptionsBuilder
}

func (s *Store) source(src *enrich.Source) *source {
	if v, ok := s.sources.Load(src); ok {
		return v.(*source)
	}
	projection := bson.D{{Key: "_id", Value: 0}}
	for _, f := range src.Fields {
		projection = append(projection, bson.E{Key: f.Name, Value: 1})
	}
	v, _ := s.sources.LoadOrStore(src, &source{
		collection: s.client.Database(src.Database).Collection(src.Collection),
		options:    options.FindOne().SetProjection(projection),
	})
	return v.(*source)
}

// Find implements [enrich.Store].
func (s *Store) Find(ctx context.Context, src *enrich.Source, key int64) ([]byte, error) {
	prepared := s.source(src)
	doc, err := prepared.collection.FindOne(ctx, bson.D{{Key: src.Key, Value: key}}, prepared.options).Raw()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return nil, enrich.ErrNotFound
	case err != nil:
		return nil, fmt.Errorf("read %s.%s: %w", src.Database, src.Collection, err)
	}
	return appendExtension(nil, src, doc)
}

// IsUnavailable reports whether err is of a server that could not be reached in the time that the connection string
// allows, so that trying again may help.
func IsUnavailable(err error) bool {
	var selection topology.ServerSelectionError
	return errors.As(err, &selection) || mongo.IsTimeout(err) || mongo.IsNetworkError(err)
}
