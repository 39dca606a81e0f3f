package observe

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/enrich"
)

// mongodbMetrics describe the commands to MongoDB and the driver's connections.
type mongodbMetrics struct {
	commands *prometheus.HistogramVec // by collection and result
	keys     *prometheus.HistogramVec // by collection

	servers                     prometheus.Gauge
	connections, inUse, waiting prometheus.Gauge
	created, cleared            prometheus.Counter
	closed, failed              *prometheus.CounterVec
}

func newMongodbMetrics(f factory) mongodbMetrics {
	m := mongodbMetrics{
		commands: f.histograms("weft_mongodb_command_duration_seconds",
			"Duration of MongoDB commands, by collection and result: ok, failed or canceled. "+
				"Includes waiting for a connection.", waits(), "collection", "result"),
		keys: f.histograms("weft_mongodb_command_keys",
			"Keys per MongoDB command, from all exchanges that shared it.",
			prometheus.ExponentialBuckets(1, 2, 10), "collection"),
		servers:     f.gauge("weft_mongodb_servers", "Reachable MongoDB servers."),
		connections: f.gauge("weft_mongodb_pool_connections", "Open connections to MongoDB."),
		inUse:       f.gauge("weft_mongodb_pool_connections_in_use", "Connections to MongoDB used by a command."),
		waiting:     f.gauge("weft_mongodb_pool_waiting", "Commands waiting for a connection to MongoDB."),
		created: f.counter("weft_mongodb_pool_connections_created_total",
			"Connections to MongoDB opened."),
		cleared: f.counter("weft_mongodb_pool_cleared_total",
			"Times the driver closed all connections to a server because the server failed."),
		closed: f.counters("weft_mongodb_pool_connections_closed_total",
			"Connections to MongoDB closed, by the driver's reason.", "reason"),
		failed: f.counters("weft_mongodb_pool_checkouts_failed_total",
			"Commands that got no connection to MongoDB, by the driver's reason.", "reason"),
	}
	for _, reason := range []string{event.ReasonIdle, event.ReasonPoolClosed, event.ReasonStale, event.ReasonError} {
		m.closed.WithLabelValues(reason)
	}
	for _, reason := range []string{event.ReasonTimedOut, event.ReasonConnectionErrored, event.ReasonPoolClosed} {
		m.failed.WithLabelValues(reason)
	}
	return m
}

// Command records a command that has ended.
func (m *Metrics) Command(src *enrich.Source, c *enrich.Command, err error) {
	result := "ok"
	switch {
	case errors.Is(err, context.Canceled):
		result = "canceled"
	case err != nil:
		result = "failed"
	}
	m.mongodb.commands.WithLabelValues(src.Collection, result).Observe(c.Ended.Sub(c.Began).Seconds())
	m.mongodb.keys.WithLabelValues(src.Collection).Observe(float64(c.Keys))
}

// WatchDriver sets the monitors of a driver client, for the metrics of servers and connections. Two clients exist at a
// time while one replaces the other because the connection string or a certificate has changed.
func (m *Metrics) WatchDriver(o *options.ClientOptions) {
	var reached atomic.Int64
	o.SetServerMonitor(&event.ServerMonitor{TopologyDescriptionChanged: func(e *event.TopologyDescriptionChangedEvent) {
		now := reachedServers(e.NewDescription)
		m.mongodb.servers.Add(float64(now - reached.Swap(now)))
	}})
	o.SetPoolMonitor(&event.PoolMonitor{Event: m.mongodb.pool})
}

// reachedServers returns the number of servers that the driver reaches; 0 after the client is disconnected.
func reachedServers(d event.TopologyDescription) (n int64) {
	for _, s := range d.Servers {
		if s.Kind != "Unknown" { // in the specification: a server that has not responded
			n++
		}
	}
	return n
}

func (m *mongodbMetrics) pool(e *event.PoolEvent) {
	switch e.Type {
	case event.ConnectionCreated:
		m.connections.Inc()
		m.created.Inc()
	case event.ConnectionClosed:
		m.connections.Dec()
		m.closed.WithLabelValues(e.Reason).Inc()
	case event.ConnectionCheckOutStarted:
		m.waiting.Inc()
	case event.ConnectionCheckOutFailed:
		m.waiting.Dec()
		m.failed.WithLabelValues(e.Reason).Inc()
	case event.ConnectionCheckedOut:
		m.waiting.Dec()
		m.inUse.Inc()
	case event.ConnectionCheckedIn:
		m.inUse.Dec()
	case event.ConnectionPoolCleared:
		m.cleared.Inc()
	}
}
