package mongostore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/enrich"
)

// Indexed identifies the index that a source needs. Sources with the same result need the same index.
func Indexed(src *enrich.Source) string {
	names := []string{src.Database, src.Collection}
	for _, c := range src.Where {
		names = append(names, c.Field)
	}
	return fmt.Sprintf("%q", names)
}

// IndexAdvice returns the mongosh command that creates the index that reads of src need, or "" if the index exists.
// Without the index each read scans the collection. IndexAdvice waits until the Store is connected, and then for
// MongoDB within the timeouts of the connection string.
func (s *Store) IndexAdvice(ctx context.Context, src *enrich.Source) (string, error) {
	isID := func(c enrich.Condition) bool { return c.Field == "_id" }
	if slices.ContainsFunc(src.Where, isID) {
		return "", nil // every collection has this index
	}
	client, err := s.await(ctx)
	if err != nil {
		return "", err
	}
	ctx, done := client.use(ctx)
	defer done()
	var indexes []struct {
		Key                     bson.D
		Hidden                  bool
		PartialFilterExpression bson.Raw // such an index contains only some documents
	}
	cursor, err := client.collection(src).Indexes().List(ctx)
	if err == nil {
		err = cursor.All(ctx, &indexes)
	}
	if err != nil {
		return "", fmt.Errorf("list the indexes of %s.%s: %w", src.Database, src.Collection, err)
	}
	for _, index := range indexes {
		if index.Hidden || index.PartialFilterExpression != nil || len(index.Key) == 0 {
			continue
		}
		first := index.Key[0].Key
		isCondition := func(c enrich.Condition) bool { return first == c.Field }
		if first == "$**" || slices.ContainsFunc(src.Where, isCondition) {
			return "", nil
		}
	}
	var fields []string
	for _, c := range src.Where {
		fields = append(fields, quoteJS(c.Field)+": 1")
	}
	return fmt.Sprintf("db.getSiblingDB(%s).getCollection(%s).createIndex({%s})",
		quoteJS(src.Database), quoteJS(src.Collection), strings.Join(fields, ", ")), nil
}

// quoteJS quotes a name for mongosh, in single quotes, because log lines do not escape them.
func quoteJS(name string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name) + "'"
}
