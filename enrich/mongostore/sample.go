package mongostore

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// sampleSize is the number of documents in a sample.
const sampleSize = 100

// TypeAdvice checks a sample of the documents of a source, and returns one line for each kind of misfit: documents that
// reads do not find because their key has another type, and fields that make the extension null.
func (s *Store) TypeAdvice(ctx context.Context, src *enrich.Source) (advice []string, err error) {
	client, err := s.await(ctx)
	if err != nil {
		return nil, err
	}
	ctx, done := client.use(ctx)
	defer done()
	var docs []bson.Raw
	cursor, err := client.collection(src).Aggregate(ctx, bson.A{
		bson.D{{Key: "$sample", Value: bson.D{{Key: "size", Value: sampleSize}}}},
		bson.D{{Key: "$project", Value: projection(src)}},
	})
	if err == nil {
		err = cursor.All(ctx, &docs)
	}
	if err != nil {
		return nil, fmt.Errorf("read a sample of %s.%s: %w", src.Database, src.Collection, err)
	}
	counts := map[misfit]int{} // of documents
	for _, doc := range docs {
		d, err := parse(nil, doc)
		if err != nil {
			return nil, err
		}
		if countKeys(counts, src, d) {
			countFields(counts, src, d)
		}
	}
	for m, n := range counts {
		advice = append(advice, fmt.Sprintf("%s in %d of %d documents, %s", m.what, n, len(docs), m.consequence))
	}
	slices.Sort(advice)
	return advice, nil
}

// misfit is a difference between a document and its source, and the consequence.
type misfit struct{ what, consequence string }

const (
	notReturned = "which no read returns"
	isNull      = "whose extension is null"
)

// countKeys counts a document if one of its keys does not have the type of the condition. It reports whether reads can
// return the document.
func countKeys(counts map[misfit]int, src *enrich.Source, d document) bool {
	isReturned := true
	for _, c := range src.Where {
		value, found, err := d.lookup(c.Field)
		key, isKey := asValue(value, c.Type)
		switch {
		case err != nil || !found:
			counts[misfit{fmt.Sprintf("field %q is missing", c.Field), notReturned}]++
		case !isKey || key.Type != c.Type:
			counts[misfit{fmt.Sprintf("field %q is %s, not %s,", c.Field, typeName(value), c.Type), notReturned}]++
		case c.From != enrich.FromRule || key == c.Fixed:
			continue
		}
		isReturned = false
	}
	return isReturned
}

// countFields counts a document if one of its fields makes the extension null.
func countFields(counts map[misfit]int, src *enrich.Source, d document) {
	for _, f := range src.Fields {
		value, found, err := d.lookup(f.Path)
		if err == nil && found {
			_, err = appendField(nil, f.Type, value)
		}
		switch {
		case err != nil:
			counts[misfit{fmt.Sprintf("field %q is %s, which does not fit %s,", f.Path, typeName(value), f.Type), isNull}]++
		case !found && f.Default == "":
			counts[misfit{fmt.Sprintf("field %q is missing and has no default", f.Path), isNull}]++
		}
	}
}

// typeName returns the name of the BSON type of a value.
func typeName(v bson.RawValue) string {
	if subtype, _, ok := v.BinaryOK(); ok {
		return fmt.Sprintf("binary of subtype %d", subtype)
	}
	return v.Type.String()
}
