package observe

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"weft/enrich"
)

// quiet is how long a warning is not said again.
const quiet = 10 * time.Second

// Health watches whether MongoDB answers. It says when MongoDB stops, and when it answers again, at most once in ten
// seconds: clients get answers all the same, so that nobody would notice.
type Health struct {
	logger *slog.Logger

	mu      sync.Mutex
	failing bool
	told    bool // the log has been told
	warned  time.Time
}

// NewHealth returns a Health that has seen nothing yet.
func NewHealth(logger *slog.Logger) *Health { return &Health{logger: logger} }

// Failing reports whether MongoDB did not answer when it was last asked.
func (h *Health) Failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failing
}

// Set says whether MongoDB fails, where somebody else than an exchange has asked it.
func (h *Health) Set(failing bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing = failing
}

// Watch takes notice of an exchange that has ended.
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
	case failed && !h.told && time.Since(h.warned) >= quiet:
		h.told, h.warned = true, time.Now()
		h.logger.LogAttrs(context.Background(), slog.LevelWarn, "MongoDB does not answer in time, or not at all; until it does, extensions are null",
			append(ids(r), slog.String("rule", r.Rule), slog.Any("error", r.Err))...)
	case whole && h.told:
		h.told = false
		h.logger.Info("MongoDB answers again")
	}
}

func isMissing(r enrich.Reason) bool {
	return r == enrich.ExtensionFailed || r == enrich.ExtensionTimeout
}
