package cli

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestIdle(t *testing.T) {
	for _, test := range []struct {
		name      string
		firstAt   time.Duration // when the first exchange starts
		stopAt    time.Duration
		wantCount int
	}{
		{"no exchange", time.Hour, time.Hour, 1},
		{"an exchange in time", 59 * time.Second, time.Hour, 0},
		{"stopped before", time.Hour, 59 * time.Second, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				var i idle
				ctx, cancel := context.WithTimeout(t.Context(), test.stopAt)
				defer cancel()
				time.AfterFunc(test.firstAt, i.watch)
				i.warn(ctx, slog.New(slog.NewTextHandler(&log, nil)))
				const want = `level=WARN msg="no exchange since the start" after=1m0s`
				if n := strings.Count(log.String(), want); n != test.wantCount {
					t.Errorf("%d warnings, want %d: %s", n, test.wantCount, &log)
				}
			})
		})
	}
}
