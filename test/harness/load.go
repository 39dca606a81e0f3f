package harness

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// Load is clients that send requests, each one after the other.
type Load struct {
	stopped atomic.Bool
	clients sync.WaitGroup
}

// StartLoad starts clients, of which every third and fourth uses HTTP/2. Each calls send again and again with its
// number, until that returns false or the load is stopped.
func StartLoad(clients int, send func(client *http.Client, number int) bool) *Load {
	l := &Load{}
	for i := range clients {
		l.clients.Go(func() {
			client := NewClient(i%4 >= 2)
			defer client.CloseIdleConnections()
			for !l.stopped.Load() && send(client, i) {
			}
		})
	}
	return l
}

// Stop returns when all clients have their last responses. It may be called more than once.
func (l *Load) Stop() {
	l.stopped.Store(true)
	l.clients.Wait()
}
