// Package observe makes the reports of exchanges visible.
package observe

import (
	"context"
	"encoding/hex"
	"io"
	"log/slog"
	"time"

	"github.com/rs/zerolog/diode"

	"weft/enrich"
)

// NonBlocking returns a writer that never waits for w, and a function that flushes it, for a second at most. If w
// blocks, as a pipe that nobody reads does, lines are dropped, and dropped is called with their number.
func NonBlocking(w io.Writer, dropped func(lines int)) (_ io.Writer, flush func()) {
	const lines = 1000
	writer := diode.NewWriter(struct{ io.Writer }{w}, lines, 0, dropped) // without w's Close
	return writer, func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = writer.Close()
		}()
		select {
		case <-done:
		case <-time.After(time.Second):
		}
	}
}

// Log returns a function that writes a line for each report, at level debug: Envoy's access log has a line for each
// request already. The line has no keys and no bodies.
func Log(logger *slog.Logger) func(*enrich.Report) {
	return func(r *enrich.Report) {
		if !logger.Enabled(context.Background(), slog.LevelDebug) {
			return
		}
		attrs := []slog.Attr{
			slog.String("rule", r.Rule),
			slog.String("outcome", string(r.Outcome.Disposition)),
			slog.String("reason", string(r.Outcome.Reason)),
			unlessZero("also", string(r.Outcome.Also)),
			unlessZero("status", r.Status),
			unlessZero("legacy", r.Times.Legacy),
			unlessZero("mongodb", r.Times.Read),
			unlessZero("added", r.Times.Added),
		}
		attrs = append(attrs, ids(r)...)
		if r.Err != nil {
			attrs = append(attrs, slog.String("error", r.Err.Error()))
		}
		logger.LogAttrs(context.Background(), slog.LevelDebug, "exchange", attrs...)
	}
}

// ids returns the attributes that lead to the request in Envoy's access log and in traces.
func ids(r *enrich.Report) []slog.Attr {
	var trace string
	if r.Trace.ID != [16]byte{} {
		trace = hex.EncodeToString(r.Trace.ID[:])
	}
	return []slog.Attr{unlessZero("trace_id", trace), unlessZero("request_id", r.RequestID)}
}

// unlessZero returns an attribute, or an empty one, which handlers ignore, for a zero value.
func unlessZero[T comparable](name string, value T) slog.Attr {
	if value == *new(T) {
		return slog.Attr{}
	}
	return slog.Any(name, value)
}
