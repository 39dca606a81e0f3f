package mongostore

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
)

// IsAvailable reports whether the driver knows a server for reads, and does not wait. The driver notices at once that a
// server has ended, but only after its timeouts that a server does not respond.
func (s *Store) IsAvailable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client != nil && s.client.isAvailable.Load()
}

// monitorServers keeps isAvailable up to date, for a client with the options o.
func (c *client) monitorServers(o *options.ClientOptions) {
	var monitor event.ServerMonitor
	if o.ServerMonitor != nil {
		monitor = *o.ServerMonitor
	}
	mode := readpref.PrimaryMode
	if o.ReadPreference != nil {
		mode = o.ReadPreference.Mode()
	}
	next := monitor.TopologyDescriptionChanged
	monitor.TopologyDescriptionChanged = func(e *event.TopologyDescriptionChangedEvent) {
		c.isAvailable.Store(hasServer(e.NewDescription, mode))
		if next != nil {
			next(e)
		}
	}
	o.SetServerMonitor(&monitor)
}

// hasServer reports whether a server is known for reads with a read preference, apart from its tags and maximum
// staleness. The names of kinds are those of the specification "Server Discovery and Monitoring".
func hasServer(known event.TopologyDescription, mode readpref.Mode) bool {
	return slices.ContainsFunc(known.Servers, func(server event.ServerDescription) bool {
		switch {
		case known.Kind == "Single": // a direct connection, for which the read preference does not count
			return server.Kind != "Unknown"
		case server.Kind == "RSPrimary":
			return mode != readpref.SecondaryMode
		case server.Kind == "RSSecondary":
			return mode != readpref.PrimaryMode
		default:
			return server.Kind == "Mongos" || server.Kind == "Standalone" || server.Kind == "LoadBalancer"
		}
	})
}
