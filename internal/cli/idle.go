package cli

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// idleTime is how long after its start weft waits for the first exchange before it warns.
const idleTime = time.Minute

// idle warns if Envoy never calls weft: nothing else reports it, because all responses pass. The zero value is ready
// for use.
type idle struct{ called atomic.Bool }

// watch records an exchange.
func (i *idle) watch() {
	if !i.called.Load() { // most calls only read, so that the CPUs can share the cache line
		i.called.Store(true)
	}
}

// warn waits for idleTime, or until ctx is done. It warns if there was no exchange by then.
func (i *idle) warn(ctx context.Context, logger *slog.Logger) {
	select {
	case <-ctx.Done():
	case <-time.After(idleTime):
		if !i.called.Load() {
			logger.Warn("no exchange since the start", "after", idleTime,
				"hint", "without requests for the rules this is normal; otherwise Envoy does not call weft: compare its "+
					"configuration with the output of weft envoy (Istio in ambient mode: the legacy pods need a sidecar)")
		}
	}
}
