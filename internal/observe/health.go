package observe

import (
	"log/slog"
	"sync"
	"time"

	"weft/enrich"
)

// quiet is how long a warning is not said again.
const quiet = 10 * time.Second

// Health returns a function that says when MongoDB stops answering, and when it answers again, at most once in ten seconds:
// clients get answers all the same, so that nobody would notice.
func Health(logger *slog.Logger) func(enrich.Report) {
	var mu sync.Mutex
	failing, warned := false, time.Time{}
	return func(r enrich.Report) {
		failed := isMissing(r.Outcome.Reason) || isMissing(r.Outcome.Also)
		whole := r.Outcome.Disposition == enrich.Composed
		if !failed && !whole {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		switch {
		case failed && !failing && time.Since(warned) >= quiet:
			failing, warned = true, time.Now()
			logger.Warn("MongoDB does not answer in time, or not at all; until it does, extensions are null", "rule", r.Rule, "error", r.Err)
		case whole && failing:
			failing = false
			logger.Info("MongoDB answers again")
		}
	}
}

func isMissing(r enrich.Reason) bool {
	return r == enrich.ExtensionFailed || r == enrich.ExtensionTimeout
}
