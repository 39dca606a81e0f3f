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

// Find implements [enrich.Store] with one find command, except for keys that several documents match.
func (s *Store) Find(ctx context.Context, src *enrich.Source, keys []enrich.Key) []enrich.Extension {
	client, err := s.acquire()
	if err != nil {
		return readFailed(src, err, len(keys))
	}
	ctx, done := client.use(ctx)
	defer done()
	command := &enrich.Command{Began: time.Now(), Keys: len(keys)}
	r := &read{Source: src, collection: client.collection(src), projection: projection(src)}
	if src.Cache != nil {
		var end func()
		if ctx, end, err = r.afterChanges(ctx, client); err != nil {
			return readFailed(src, err, len(keys))
		}
		defer end()
	}
	var found []enrich.Extension
	if len(keys) == 1 {
		found = []enrich.Extension{r.findOne(ctx, keys[0])}
	} else {
		found = r.findMany(ctx, keys)
	}
	command.Ended = time.Now()
	for i := range found {
		found[i].Command = command
	}
	if s.Ended != nil {
		err := found[0].Err // of the command, which is the same for all its keys, or of a document
		if errors.Is(err, enrich.ErrNotFound) || errors.Is(err, enrich.ErrWrongType) {
			err = nil
		}
		s.Ended(src, command, err)
	}
	return found
}

// readFailed returns an error for all keys.
func readFailed(src *enrich.Source, err error, keys int) []enrich.Extension {
	err = fmt.Errorf("read %s.%s: %w", src.Database, src.Collection, err)
	return slices.Repeat([]enrich.Extension{{Err: err}}, keys)
}

func (c *client) collection(src *enrich.Source) *mongo.Collection {
	return c.Database(src.Database).Collection(src.Collection)
}

// projection returns the fields that a read of src needs: its own and those of its conditions.
func projection(src *enrich.Source) bson.D {
	paths := make([]string, 0, len(src.Fields)+len(src.Where))
	for _, f := range src.Fields {
		paths = append(paths, f.Path)
	}
	for _, c := range src.Where {
		paths = append(paths, c.Field)
	}
	if src.Cache != nil {
		paths = append(paths, "_id") // changes identify documents by it
	}
	fields := includes(paths)
	isID := func(e bson.E) bool { return e.Key == "_id" || strings.HasPrefix(e.Key, "_id.") }
	if !slices.ContainsFunc(fields, isID) {
		fields = append(fields, bson.E{Key: "_id", Value: 0})
	}
	return fields
}

// includes returns a projection with paths. MongoDB rejects a path within another one.
func includes(paths []string) (fields bson.D) {
	slices.Sort(paths)
	fields = bson.D{}
	for _, p := range slices.Compact(paths) {
		contains := func(e bson.E) bool { return strings.HasPrefix(p, e.Key+".") }
		if !slices.ContainsFunc(fields, contains) {
			fields = append(fields, bson.E{Key: p, Value: 1})
		}
	}
	return fields
}

// read is a read of a source.
type read struct {
	*enrich.Source
	collection *mongo.Collection
	projection bson.D
}

// filter returns the conditions of the source for a key.
func (r *read) filter(key enrich.Key) bson.D {
	filter := make(bson.D, len(key))
	for i, c := range r.Where {
		filter[i] = bson.E{Key: c.Field, Value: bsonValue(key[i])}
	}
	return filter
}

func (r *read) findOne(ctx context.Context, key enrich.Key) enrich.Extension {
	doc, err := r.collection.FindOne(ctx, r.filter(key), options.FindOne().SetProjection(r.projection)).Raw()
	switch {
	case errors.Is(err, mongo.ErrNoDocuments):
		return enrich.Extension{Err: enrich.ErrNotFound}
	case err != nil:
		return readFailed(r.Source, err, 1)[0]
	}
	return r.extension(key, doc)
}

func (r *read) extension(key enrich.Key, doc bson.Raw) (ext enrich.Extension) {
	ext.JSON, ext.Err = appendExtension(make([]byte, 0, len(doc)), r.Source, key, doc)
	if r.Cache != nil {
		ext.ID = documentID(doc)
	}
	return ext
}

// findMany reads the documents of all keys with one command. Each key gets the first document that matches it, as in
// findOne.
func (r *read) findMany(ctx context.Context, keys []enrich.Key) []enrich.Extension {
	m := newMatches(r, keys)
	limit := int32(min(2*len(keys), math.MaxInt32))
	cursor, err := r.collection.Find(ctx, m.filter(), options.Find().SetProjection(r.projection).SetBatchSize(limit))
	if err != nil {
		return readFailed(r.Source, err, len(keys))
	}
	defer func() { _ = cursor.Close(ctx) }()
	for cursor.Next(ctx) {
		m.add(cursor.Current)
	}
	if err := cursor.Err(); err != nil {
		return readFailed(r.Source, err, len(keys))
	}
	for i, key := range keys {
		if m.again[i] {
			m.found[i] = r.findOne(ctx, key)
		}
	}
	return m.found
}

// matches assigns the documents of one command to its keys.
type matches struct {
	*read
	keys   []enrich.Key
	varies int                  // index of the condition in which the keys differ
	index  map[enrich.Value]int // index of a key, by its value in that condition
	found  []enrich.Extension
	again  []bool // the key needs a separate command
}

func newMatches(r *read, keys []enrich.Key) *matches {
	m := &matches{
		read: r, keys: keys, index: make(map[enrich.Value]int, len(keys)),
		found: make([]enrich.Extension, len(keys)), again: make([]bool, len(keys)),
	}
	for m.varies < len(keys[0])-1 && keys[0][m.varies] == keys[1][m.varies] {
		m.varies++
	}
	for i, key := range keys {
		m.index[key[m.varies]] = i
		m.found[i].Err = enrich.ErrNotFound
	}
	return m
}

func (m *matches) filter() bson.D {
	values := make(bson.A, len(m.keys))
	for i, key := range m.keys {
		values[i] = bsonValue(key[m.varies])
	}
	filter := m.read.filter(m.keys[0])
	filter[m.varies].Value = bson.D{{Key: "$in", Value: values}}
	return filter
}

// add assigns a document to the key that MongoDB found it for, unless the key has one. If that key is not certain, all
// candidates are read again, one by one: the error of a document must not affect other keys, and the first document of
// a key must not depend on the other keys.
func (m *matches) add(doc bson.Raw) {
	d, parseErr := parse(nil, doc)
	value, found, err := d.lookup(m.Where[m.varies].Field)
	found = found && parseErr == nil && err == nil
	t := m.keys[0][m.varies].Type
	if key, ok := keyOf(value, t); found && ok {
		if i, ok := m.index[key]; ok {
			if errors.Is(m.found[i].Err, enrich.ErrNotFound) {
				m.found[i] = m.extension(m.keys[i], doc)
			}
			return
		}
	}
	isElement := false
	if found && value.Type == bson.TypeArray { // MongoDB compares each element with the keys
		for e := elementsOf(value.Value); e.next(); {
			key, ok := keyOf(e.value, t)
			if i, isWanted := m.index[key]; ok && isWanted {
				isElement, m.again[i] = true, true
			}
		}
	}
	if isElement {
		return
	}
	// If the document has no value at this path, it has one in an array of documents, which may match any key. If it has
	// a value, it matches by the collation of the collection, and is not the first document of a key that has another.
	for i := range m.keys {
		m.again[i] = m.again[i] || !found || errors.Is(m.found[i].Err, enrich.ErrNotFound)
	}
}
