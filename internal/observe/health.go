package observe

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"weft/enrich"
)

// Health monitors whether MongoDB is available. Clients still get responses without it, so Health logs when MongoDB
// becomes unavailable and available again, at most once in ten seconds.
type Health struct {
	logger  *slog.Logger
	failing atomic.Bool

	mu      sync.Mutex
	warned  bool // since MongoDB was last available
	warning rate.Sometimes
}

// NewHealth returns a Health that considers MongoDB available.
func NewHealth(logger *slog.Logger) *Health {
	return &Health{logger: logger, warning: rate.Sometimes{Interval: 10 * time.Second}}
}

// Failing reports whether the last exchange or command failed or timed out.
func (h *Health) Failing() bool { return h.failing.Load() }

// Set records the result of a command that belongs to no exchange.
func (h *Health) Set(failing bool) { h.failing.Store(failing) }

// Watch records the result of an exchange that has ended.
func (h *Health) Watch(r *enrich.Report) {
	failed := isUnavailable(r.Outcome.Reason) || isUnavailable(r.Outcome.Also)
	// A request may select no extension, and a hit of a cache does not read.
	isRead := len(r.Reads) > 0 && r.Cache() != enrich.CacheHit
	succeeded := r.Outcome.Disposition == enrich.Composed && isRead
	if !failed && !succeeded {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing.Store(failed)
	switch {
	case failed && !h.warned:
		h.warning.Do(func() {
			h.warned = true
			h.logger.LogAttrs(context.Background(), slog.LevelWarn,
				"mongodb unavailable; extensions are null",
				append(ids(r), slog.String("rule", r.Rule), slog.Any("error", r.Err))...)
		})
	case succeeded && h.warned:
		h.warned = false
		h.logger.Info("mongodb available again")
	}
}

func isUnavailable(r enrich.Reason) bool {
	return r == enrich.ExtensionFailed || r == enrich.ExtensionTimeout
}
