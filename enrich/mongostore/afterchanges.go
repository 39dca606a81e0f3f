package mongostore

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"

	"weft/enrich"
)

// majority returns the collection of a source, for data that cannot be rolled back.
func (c *client) majority(src *enrich.Source) *mongo.Collection {
	o := options.Collection().SetReadConcern(readconcern.Majority())
	return c.Database(src.Database).Collection(src.Collection, o)
}

// namespace is the key of client.times.
type namespace struct{ database, collection string }

func namespaceOf(src *enrich.Source) namespace { return namespace{src.Database, src.Collection} }

// seen records the time of a reported change.
func (c *client) seen(src *enrich.Source, at bson.Timestamp) {
	c.timesMu.Lock()
	defer c.timesMu.Unlock()
	if at.After(c.times[namespaceOf(src)]) {
		c.times[namespaceOf(src)] = at
	}
}

// forget drops the record: MongoDB would reject reads that refer to the time of a change.
func (c *client) forget(src *enrich.Source) {
	c.timesMu.Lock()
	defer c.timesMu.Unlock()
	delete(c.times, namespaceOf(src))
}

// lastChange returns the time of the last reported change, and whether changes are reported.
func (c *client) lastChange(src *enrich.Source) (at bson.Timestamp, isWatched bool) {
	c.timesMu.Lock()
	defer c.timesMu.Unlock()
	at, isWatched = c.times[namespaceOf(src)]
	return at, isWatched
}

// afterChanges makes a read return data that cannot be rolled back and that includes all reported changes, also if
// another member of the replica set than that of the change stream returns it. The caller must call end at its end.
func (r *read) afterChanges(ctx context.Context, c *client) (_ context.Context, end func(), err error) {
	at, isWatched := c.lastChange(r.Source)
	if !isWatched {
		return ctx, func() {}, nil
	}
	session, err := c.StartSession()
	if err == nil {
		err = session.AdvanceOperationTime(&at)
	}
	if err != nil {
		return nil, nil, err
	}
	r.collection = c.majority(r.Source)
	return mongo.NewSessionContext(ctx, session), func() { session.EndSession(ctx) }, nil
}
