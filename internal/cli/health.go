package cli

import (
	"context"

	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// health is grpc.health.v1. Its watches end with the drain window, so that weft need not wait for clients to end them.
type health struct {
	*grpchealth.Server
	windowOver context.Context //nolint:containedctx // an event, of the server as a whole
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
	// Without a window the end may come before the news.
	if now, unknown := h.Check(ctx, in); unknown == nil && now.GetStatus() != w.last && stream.Context().Err() == nil {
		_ = stream.Send(now)
	}
	return err
}

// watch is the stream of a Watch.
type watch struct {
	healthpb.Health_WatchServer
	ctx  context.Context //nolint:containedctx // the stream's, with an earlier end
	last healthpb.HealthCheckResponse_ServingStatus
}

func (w *watch) Context() context.Context { return w.ctx }

func (w *watch) Send(r *healthpb.HealthCheckResponse) error {
	w.last = r.GetStatus()
	return w.Health_WatchServer.Send(r)
}
