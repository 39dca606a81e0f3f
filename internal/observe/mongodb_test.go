package observe

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// TestServersOfClients: while one client replaces another, weft_mongodb_servers counts the servers of both.
func TestServersOfClients(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry(), "")
	describe := func(kinds ...string) *event.TopologyDescriptionChangedEvent {
		e := &event.TopologyDescriptionChangedEvent{}
		for _, kind := range kinds {
			e.NewDescription.Servers = append(e.NewDescription.Servers, event.ServerDescription{Kind: kind})
		}
		return e
	}
	first, second := options.Client(), options.Client()
	m.WatchDriver(first)
	m.WatchDriver(second)
	for _, step := range []struct {
		client *options.ClientOptions
		event  *event.TopologyDescriptionChangedEvent
		want   float64
	}{
		{first, describe("Unknown", "RSPrimary"), 1},
		{first, describe("RSSecondary", "RSPrimary"), 2},
		{second, describe("Unknown", "Unknown", "Unknown"), 2},
		{second, describe("RSSecondary", "RSPrimary", "RSSecondary"), 5}, // until the first is disconnected
		{first, describe(), 3},
		{second, describe("RSSecondary", "Unknown", "RSSecondary"), 2},
	} {
		step.client.ServerMonitor.TopologyDescriptionChanged(step.event)
		if got := testutil.ToFloat64(m.mongodb.servers); got != step.want {
			t.Errorf("%v servers, want %v", got, step.want)
		}
	}
}
