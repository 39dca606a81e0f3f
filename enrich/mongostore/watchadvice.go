package mongostore

import (
	"context"
	"errors"
	"fmt"

	"weft/enrich"
)

// ChangeAdvice returns why MongoDB does not support change streams for the collection of a source, or "" if it does. It
// waits for MongoDB within the timeouts of the connection string.
func (s *Store) ChangeAdvice(ctx context.Context, src *enrich.Source) (string, error) {
	client, err := s.await(ctx)
	if err != nil {
		return "", err
	}
	ctx, done := client.use(ctx)
	defer done()
	w := &watch{store: s, sources: []*enrich.Source{src}, client: client}
	stream, err := w.open(ctx)
	switch {
	case errors.Is(err, ErrNoChangeStream):
		return err.Error(), nil
	case err != nil:
		return "", fmt.Errorf("change stream of %s.%s: %w", src.Database, src.Collection, err)
	}
	return "", stream.Close(ctx)
}
