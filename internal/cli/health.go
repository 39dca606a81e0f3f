package cli

import (
	"context"

	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// health implements grpc.health.v1. Its Watch streams end with the drain window, because GracefulStop would wait for
// clients to close them.
type health struct {
	*grpchealth.Server
	windowOver context.Context //nolint:containedctx // an event of the server, not a request's context
	endWindow  context.CancelFunc
}

func newHealth() *health {
	h := &health{Server: grpchealth.NewServer()}
	h.windowOver, h.endWindow = context.WithCancel(context.Background())
	return h
}

// Watch implements [healthpb.HealthServer].
func (h *health) Watch(in *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(h.windowOver, cancel)()
	w := &watch{Health_WatchServer: stream, ctx: ctx}
	err := h.Server.Watch(in, w)
	// Without a drain window, the stream may end before the embedded server has sent NOT_SERVING.
	now, checkErr := h.Check(ctx, in)
	if checkErr == nil && now.GetStatus() != w.last && stream.Context().Err() == nil {
		_ = stream.Send(now)
	}
	return err
}

// watch is the stream of one Watch call. It remembers the last status sent.
type watch struct {
	healthpb.Health_WatchServer
	ctx  context.Context //nolint:containedctx // the stream's, canceled when the drain window ends
	last healthpb.HealthCheckResponse_ServingStatus
}

func (w *watch) Context() context.Context { return w.ctx }

func (w *watch) Send(r *healthpb.HealthCheckResponse) error {
	w.last = r.GetStatus()
	return w.Health_WatchServer.Send(r)
}
