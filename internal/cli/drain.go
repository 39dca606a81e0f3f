package cli

import (
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"
)

// drain has the settings for a graceful shutdown: health checks fail first, weft accepts new exchanges during a window,
// and then open exchanges finish.
type drain struct {
	window   time.Duration // how long weft accepts exchanges after health checks fail
	deadline time.Duration // how long open exchanges may take after the window
	maxAge   time.Duration // of a connection, ±10 %; 0: no limit
}

func (d *drain) flags() []cli.Flag {
	return []cli.Flag{
		durationVar(&d.window, "drain-window", 5*time.Second, 0, "WEFT_DRAIN_WINDOW",
			"after SIGTERM, how long weft accepts exchanges while its health checks fail; "+
				"set it longer than Envoy's health check interval; 0: none"),
		durationVar(&d.deadline, "drain-deadline", 10*time.Second, 0, "WEFT_DRAIN_DEADLINE",
			"after the drain window, how long open exchanges may take; set it longer than the route timeout"),
		durationVar(&d.maxAge, "max-connection-age", 30*time.Minute, 0, "WEFT_MAX_CONNECTION_AGE",
			"age at which weft closes a connection gracefully (±10 %), so that Envoy connects to new instances "+
				"and uses new certificates; 0: never"),
	}
}

// finish drains the server. It returns when all exchanges have ended, at the latest after the drain deadline. During
// the window Envoy's health checks fail and Envoy sends new exchanges elsewhere, so the later GOAWAY rejects none.
func (s *server) finish(server *grpc.Server, health *health, served <-chan error) error {
	s.stopping.Store(true)
	health.Shutdown() // NOT_SERVING
	s.logger.Info("draining", "window", s.drain.window, "deadline", s.drain.deadline)
	select {
	case err := <-served:
		return err
	case <-time.After(s.drain.window):
	}
	health.endWindow()
	late := time.AfterFunc(s.drain.deadline, func() {
		s.logger.Warn("drain deadline exceeded; closing open exchanges, whose legacy responses pass")
		server.Stop()
	})
	defer late.Stop()
	server.GracefulStop()
	return nil
}
