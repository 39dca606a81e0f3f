// Package observe makes the reports of exchanges visible.
package observe

import (
	"context"
	"log/slog"

	"weft/enrich"
)

// Log returns a function that writes a line for each report: at debug, since Envoy's access log has one for each
// request already and says the same in x-weft. It writes no keys and no bodies.
func Log(logger *slog.Logger) func(enrich.Report) {
	return func(r enrich.Report) {
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
		if r.Err != nil {
			attrs = append(attrs, slog.String("error", r.Err.Error()))
		}
		logger.LogAttrs(context.Background(), slog.LevelDebug, "exchange", attrs...)
	}
}
