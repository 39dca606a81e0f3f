package cli

import (
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"
)

// drain is how weft stops: its health checks report it first, then it serves new exchanges for a while longer, then
// those in progress finish.
type drain struct {
	window   time.Duration // how long weft accepts exchanges after its health checks have reported that it stops
	deadline time.Duration // how long exchanges may finish after that
	maxAge   time.Duration // of a connection, give or take a tenth; 0 for no limit
}

func (d *drain) flags() []cli.Flag {
	return []cli.Flag{
		durationVar(&d.window, "drain-window", 5*time.Second, 0, "WEFT_DRAIN_WINDOW",
			"after SIGTERM, how long weft still takes exchanges while its health checks say that it stops; "+
				"more than Envoy's interval of checks, 0 for none"),
		durationVar(&d.deadline, "drain-deadline", 10*time.Second, 0, "WEFT_DRAIN_DEADLINE",
			"how long exchanges may finish after the drain window; more than the route's timeout"),
		durationVar(&d.maxAge, "max-connection-age", 30*time.Minute, 0, "WEFT_MAX_CONNECTION_AGE",
			"after that, a tenth more or less, Envoy is asked to open a new connection, "+
				"so that new instances and certificates come into use; 0 for never"),
	}
}

// finish returns when the exchanges have ended, at the latest after the drain deadline. In the window Envoy, which
// checks weft's health, begins to send new exchanges elsewhere, so that the GOAWAY afterwards refuses none.
func (s *server) finish(server *grpc.Server, health *health, served <-chan error) error {
	s.stopping.Store(true)
	health.Shutdown() // NOT_SERVING
	s.logger.Info("stopping: exchanges are taken for the drain window, then those under way finish",
		"window", s.drain.window, "deadline", s.drain.deadline)
	window := time.NewTimer(s.drain.window)
	defer window.Stop()
	select {
	case err := <-served:
		return err
	case <-window.C:
	}
	health.endWindow()
	late := time.AfterFunc(s.drain.deadline, func() {
		s.logger.Warn("the drain deadline is over: what is under way ends; Envoy lets these responses pass")
		server.Stop()
	})
	defer late.Stop()
	server.GracefulStop()
	return nil
}
