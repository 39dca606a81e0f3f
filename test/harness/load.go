package harness

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// Load is a number of clients that each send one request after the other.
type Load struct {
	stopped atomic.Bool
	clients sync.WaitGroup
}

// StartLoad starts clients, half of which use HTTP/2. Each calls send with its number until send returns false or Stop
// is called.
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

// Stop stops the clients and waits for their last responses. It may be called more than once.
func (l *Load) Stop() {
	l.stopped.Store(true)
	l.clients.Wait()
}
