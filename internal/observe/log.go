// Package observe makes the reports of exchanges visible.
package observe

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"time"

	"github.com/rs/zerolog/diode"

	"weft/enrich"
)

// NewLogger returns a logger that writes "text" or "json".
func NewLogger(w io.Writer, format string, level slog.Level) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	default:
		return nil, errors.New("want text or json")
	}
}

// NonBlocking returns a writer that never waits for w, and a function that writes what is left, for a second at most. If w
// accepts no more, as a pipe that nobody reads, lines are dropped, and dropped is called with their number.
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

// Log returns a function that writes a line for each report: at debug, since Envoy's access log has one for each
// request already and says the same. It writes no keys and no bodies.
func Log(logger *slog.Logger) func(*enrich.Report) {
	return func(r *enrich.Report) {
		if !logger.Enabled(context.Background(), slog.LevelDebug) {
			return
		}
		attrs := []slog.Attr{
			slog.String("rule", r.Rule),
			slog.String("outcome", string(r.Outcome.Disposition)),
			slog.String("reason", string(r.Outcome.Reason)),
		}
		if r.Outcome.Also != "" {
			attrs = append(attrs, slog.String("also", string(r.Outcome.Also)))
		}
		if r.Status != 0 {
			attrs = append(attrs, slog.Int("status", r.Status))
		}
		for _, d := range []struct {
			name string
			took time.Duration
		}{{"legacy", r.Times.Legacy}, {"mongodb", r.Times.Read}, {"added", r.Times.Added}} {
			if d.took != 0 {
				attrs = append(attrs, slog.Duration(d.name, d.took))
			}
		}
		attrs = append(attrs, ids(r)...)
		if r.Err != nil {
			attrs = append(attrs, slog.String("error", r.Err.Error()))
		}
		logger.LogAttrs(context.Background(), slog.LevelDebug, "exchange", attrs...)
	}
}

// ids lead from a line to the request, in Envoy's access log and in traces.
func ids(r *enrich.Report) (attrs []slog.Attr) {
	if r.Trace.ID != [16]byte{} {
		attrs = append(attrs, slog.String("trace_id", hex.EncodeToString(r.Trace.ID[:])))
	}
	if r.RequestID != "" {
		attrs = append(attrs, slog.String("request_id", r.RequestID))
	}
	return attrs
}
