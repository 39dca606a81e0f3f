// Package observe turns the report of each exchange into logs, metrics and traces.
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

// NonBlocking returns a writer that never blocks on w, and a function that flushes it within one second. If w blocks,
// for example a pipe without a reader, lines are dropped and dropped is called with their number.
func NonBlocking(w io.Writer, dropped func(lines int)) (_ io.Writer, flush func()) {
	const lines = 1000
	writer := diode.NewWriter(struct{ io.Writer }{w}, lines, 0, dropped) // hides w's Close
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

// Log returns a function that logs each report at level debug; Envoy's access log already has a line for each request.
// The line contains no keys and no bodies.
func Log(logger *slog.Logger) func(*enrich.Report) {
	return func(r *enrich.Report) {
		if !logger.Enabled(context.Background(), slog.LevelDebug) {
			return
		}
		attrs := []slog.Attr{
			slog.String("rule", r.Rule),
			slog.String("outcome", string(r.Outcome.Disposition)),
			slog.String("reason", string(r.Outcome.Reason)),
			optional("also", string(r.Outcome.Also)),
			optional("status", r.Status),
			optional("legacy", r.Times.Legacy),
			optional("mongodb", r.Times.Read),
			optional("added", r.Times.Added),
			optional("cache", string(r.Cache())),
			optional("core", string(r.Core)),
		}
		attrs = append(attrs, ids(r)...)
		if r.Err != nil {
			attrs = append(attrs, slog.String("error", r.Err.Error()))
		}
		logger.LogAttrs(context.Background(), slog.LevelDebug, "exchange", attrs...)
	}
}

// ids returns the attributes that identify the request in Envoy's access log and in traces.
func ids(r *enrich.Report) []slog.Attr {
	var trace string
	if r.Trace.ID != [16]byte{} {
		trace = hex.EncodeToString(r.Trace.ID[:])
	}
	return []slog.Attr{optional("trace_id", trace), optional("request_id", r.RequestID)}
}

// optional returns an attribute. For a zero value it returns an empty one, which handlers omit.
func optional[T comparable](name string, value T) slog.Attr {
	if value == *new(T) {
		return slog.Attr{}
	}
	return slog.Any(name, value)
}
