package command

import (
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"
)

// drain is how weft stops: first it says so, then it takes exchanges a while longer, then it has those under way finish.
type drain struct {
	window   time.Duration // how long it takes exchanges after it has said that it stops
	deadline time.Duration // how long exchanges may finish after that
	maxAge   time.Duration // of a connection, give or take a tenth; 0 is without end
}

func drainFlags() []cli.Flag {
	return []cli.Flag{
		&cli.DurationFlag{
			Name: "drain-window", Value: 5 * time.Second, Sources: cli.EnvVars("WEFT_DRAIN_WINDOW"), Validator: atLeast[time.Duration](0),
			Usage: "after SIGTERM, how long weft still takes exchanges while its health checks say that it stops; more than Envoy's interval of checks, 0 for none",
		},
		&cli.DurationFlag{
			Name: "drain-deadline", Value: 10 * time.Second, Sources: cli.EnvVars("WEFT_DRAIN_DEADLINE"), Validator: atLeast[time.Duration](0),
			Usage: "how long exchanges may finish after the drain window; more than the route's timeout",
		},
		&cli.DurationFlag{
			Name: "max-connection-age", Value: 30 * time.Minute, Sources: cli.EnvVars("WEFT_MAX_CONNECTION_AGE"), Validator: atLeast[time.Duration](0),
			Usage: "after that, a tenth more or less, Envoy is asked to open a new connection, so that new instances and certificates come into use; 0 for never",
		},
	}
}

// finish returns when the exchanges are over, or when their time is. Envoy, which checks weft's health, sends new exchanges
// elsewhere in the window, and has answers to all it has sent here: a GOAWAY refuses none that is on its way.
func (s *server) finish(server *grpc.Server, health *health, served <-chan error) error {
	s.stopping.Store(true)
	health.Shutdown() // NOT_SERVING, to those who watch, too
	s.logger.Info("stopping: exchanges are taken for the drain window, then those under way finish", "window", s.drain.window, "deadline", s.drain.deadline)
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
