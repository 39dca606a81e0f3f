package observe

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"weft/enrich"
)

// Health monitors whether MongoDB answers. It logs when MongoDB stops answering and when it answers again, at most
// once in ten seconds: clients get answers all the same, so that nobody would notice.
type Health struct {
	logger *slog.Logger

	mu      sync.Mutex
	failing bool
	warned  bool // since MongoDB last answered
	warning rate.Sometimes
}

// NewHealth returns a Health for a MongoDB that answers.
func NewHealth(logger *slog.Logger) *Health {
	return &Health{logger: logger, warning: rate.Sometimes{Interval: 10 * time.Second}}
}

// Failing reports whether MongoDB did not answer when it was last asked.
func (h *Health) Failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failing
}

// Set sets whether MongoDB fails, after a command that is of no exchange.
func (h *Health) Set(failing bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = failing
}

// Watch observes an exchange that has ended.
func (h *Health) Watch(r *enrich.Report) {
	failed := isMissing(r.Outcome.Reason) || isMissing(r.Outcome.Also)
	whole := r.Outcome.Disposition == enrich.Composed
	if !failed && !whole {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = failed
	switch {
	case failed && !h.warned:
		h.warning.Do(func() {
			h.warned = true
			h.logger.LogAttrs(context.Background(), slog.LevelWarn,
				"MongoDB does not answer in time, or not at all; until it does, extensions are null",
				append(ids(r), slog.String("rule", r.Rule), slog.Any("error", r.Err))...)
		})
	case whole && h.warned:
		h.warned = false
		h.logger.Info("MongoDB answers again")
	}
}

func isMissing(r enrich.Reason) bool {
	return r == enrich.ExtensionFailed || r == enrich.ExtensionTimeout
}
