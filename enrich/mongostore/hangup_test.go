package mongostore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/enrich"
	"weft/test/storetest"
)

// TestHangUps: readers that leave during a command do not cost its connection. The driver closes the connection of a
// canceled operation, and the next read would have to open another one.
func TestHangUps(t *testing.T) {
	const connections = 10 // the number that the driver opens concurrently for minPoolSize
	for _, test := range []struct {
		name     string
		readers  int
		keys     int // of a read
		commands int // in flight when the readers leave
	}{
		{"one key", 200, 1, 1},
		{"one key, retry", 60, 1, connections}, // the commands for the first key and for the others are overdue
		{"a list", 200, 20, connections},
	} {
		t.Run(test.name, func(t *testing.T) {
			var created, closed atomic.Int64
			ready, started := make(chan struct{}, 2*connections), make(chan struct{}, 2*test.readers)
			uri := fmt.Sprintf("%s/?minPoolSize=%d&maxPoolSize=%[2]d", mongod.URI(), connections)
			store, err := Open(uri, func(o *options.ClientOptions) {
				o.SetPoolMonitor(&event.PoolMonitor{Event: func(e *event.PoolEvent) {
					switch {
					case e.Type == event.ConnectionCreated:
						created.Add(1)
					case e.Type == event.ConnectionReady:
						notify(ready)
					case e.Type == event.ConnectionClosed && e.Reason == event.ReasonError:
						closed.Add(1)
					}
				}})
				o.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
					if e.CommandName == "find" {
						notify(started)
					}
				}})
			})
			if err != nil {
				t.Fatal(err)
			}
			for range connections {
				<-ready
			}
			if err := mongod.Freeze(); err != nil {
				t.Fatal(err)
			}
			thaw := sync.OnceValue(func() error { return mongod.Signal(syscall.SIGCONT) })
			defer func() { _ = thaw() }()

			source, reads := storetest.Source(), enrich.Limit(enrich.Batch(store), int64(test.readers))
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			var wait sync.WaitGroup
			errs := make(chan error, test.readers) // of readers that get a result, although MongoDB is frozen
			for reader := range int64(test.readers) {
				var keys []enrich.Key
				for n := range int64(test.keys) {
					keys = append(keys, number(reader*100+n)...)
				}
				wait.Go(func() {
					if ext := reads.Find(ctx, source, keys)[0]; ctx.Err() == nil {
						errs <- ext.Err
					}
				})
			}
			for n := range test.commands {
				select {
				case <-started:
				case err := <-errs:
					t.Fatalf("%d of %d commands started, then a read failed: %v", n, test.commands, err)
				}
			}
			hangUp()
			wait.Wait() // while MongoDB is frozen: canceled readers do not wait
			if err := thaw(); err != nil {
				t.Fatal(err)
			}
			if err := store.Close(context.Background()); err != nil { // waits for running commands
				t.Error(err)
			}
			if created.Load() != connections || closed.Load() != 0 {
				t.Errorf("%d connections opened and %d closed, want %d and 0", created.Load(), closed.Load(), connections)
			}
		})
	}
}

// notify sends without blocking, because a callback that waits would block the driver.
func notify(events chan<- struct{}) {
	select {
	case events <- struct{}{}:
	default:
	}
}
