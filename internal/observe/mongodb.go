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
			"Duration of commands to MongoDB, by collection and result: ok, failed, or cancelled. "+
				"Waiting for a connection is included.", waits(), "collection", "result"),
		keys: f.histograms("weft_mongodb_command_keys",
			"Number of keys that a command to MongoDB asked for, of all exchanges that shared it.",
			prometheus.ExponentialBuckets(1, 2, 10), "collection"),
		servers:     f.gauge("weft_mongodb_servers", "MongoDB servers that the driver reaches."),
		connections: f.gauge("weft_mongodb_pool_connections", "Connections to MongoDB that are open."),
		inUse:       f.gauge("weft_mongodb_pool_connections_in_use", "Connections to MongoDB that a command uses."),
		waiting:     f.gauge("weft_mongodb_pool_waiting", "Commands that wait for a connection to MongoDB."),
		created: f.counter("weft_mongodb_pool_connections_created_total",
			"Connections to MongoDB that were opened."),
		cleared: f.counter("weft_mongodb_pool_cleared_total",
			"Number of times that all connections to a server were closed because it failed."),
		closed: f.counters("weft_mongodb_pool_connections_closed_total",
			"Connections to MongoDB that were closed, by the driver's reason.", "reason"),
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

// Command counts a command that has ended.
func (m *Metrics) Command(src *enrich.Source, c *enrich.Command, err error) {
	result := "ok"
	switch {
	case errors.Is(err, context.Canceled):
		result = "cancelled"
	case err != nil:
		result = "failed"
	}
	m.mongodb.commands.WithLabelValues(src.Collection, result).Observe(c.Ended.Sub(c.Began).Seconds())
	m.mongodb.keys.WithLabelValues(src.Collection).Observe(float64(c.Keys))
}

// WatchDriver makes a client of the driver report its servers and connections. There may be several clients at a time: one
// replaces another when its connection string or its certificates change.
func (m *Metrics) WatchDriver(o *options.ClientOptions) {
	var reached atomic.Int64
	o.SetServerMonitor(&event.ServerMonitor{TopologyDescriptionChanged: func(e *event.TopologyDescriptionChangedEvent) {
		now := reachedServers(e.NewDescription)
		m.mongodb.servers.Add(float64(now - reached.Swap(now)))
	}})
	o.SetPoolMonitor(&event.PoolMonitor{Event: m.mongodb.pool})
}

// reachedServers returns how many servers the driver reaches. A client that is disconnected has none.
func reachedServers(d event.TopologyDescription) (n int64) {
	for _, s := range d.Servers {
		if s.Kind != "Unknown" { // the specification's name of a server that did not answer
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
