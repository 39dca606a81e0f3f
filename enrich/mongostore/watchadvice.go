package mongostore

import (
	"context"
	"errors"
	"fmt"

	"weft/enrich"
)

// ChangeAdvice returns a line that says why changes of the collection of a source cannot be reported, or "" if they can.
// It waits for MongoDB within the timeouts of the connection string.
func (s *Store) ChangeAdvice(ctx context.Context, src *enrich.Source) (string, error) {
	client, err := s.await(ctx)
	if err != nil {
		return "", err
	}
	ctx, done := client.use(ctx)
	defer done()
	w := &watch{store: s, sources: []*enrich.Source{src}, client: client}
	stream, err := w.open(ctx)
	if errors.Is(err, ErrNoChangeStream) {
		return err.Error(), nil
	}
	if err != nil {
		return "", fmt.Errorf("change stream of %s.%s: %w", src.Database, src.Collection, err)
	}
	return "", stream.Close(ctx)
}
