// Package mongostore reads extensions from MongoDB. It implements [enrich.Store].
package mongostore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"weft/enrich"
)

// Store reads extensions with one find command for each call of [Store.Find]. It is safe for concurrent use. A Store
// can be opened, and remains usable, while MongoDB is down.
type Store struct {
	// Ended, if not nil, is called when a command has ended, with its error if it failed. It must be safe for concurrent
	// use, and must not be changed once reads have started.
	Ended func(src *enrich.Source, c *enrich.Command, err error)

	// Watched, if not nil, is called when [Store.Watch] begins to report the changes of a collection, and with an error
	// when it cannot report them; the error wraps [ErrNoChangeStream] if MongoDB does not support that. It must be safe
	// for concurrent use, and must not be changed once Watch is called.
	Watched func(database, collection string, err error)

	configure []func(*options.ClientOptions)
	connected chan struct{} // closed when there is a client

	mu     sync.Mutex
	client *client // nil until Connect has succeeded once, and after Close
	err    error   // error of reads while client is nil
}

// client is a client of the driver. It is disconnected when its last user is done.
type client struct {
	*mongo.Client
	users  sync.WaitGroup
	closed context.Context // ends when Close no longer waits for users
	close  context.CancelFunc

	retired     context.Context // ends when another client replaces this one, or the Store is closed
	endWatching context.CancelFunc

	isAvailable atomic.Bool // see Store.IsAvailable

	timesMu sync.Mutex
	times   map[namespace]bson.Timestamp // of the last reported change
}

var _ enrich.Store = (*Store)(nil)

var errNotConnected = errors.New("the hosts of the connection string have not been looked up yet")

// New returns a Store whose reads fail until [Store.Connect] has succeeded. The functions change the options of each
// client of the driver, for example to add monitors.
func New(configure ...func(*options.ClientOptions)) *Store {
	return &Store{configure: configure, connected: make(chan struct{}), err: errNotConnected}
}

// Open returns a connected Store.
func Open(uri string, configure ...func(*options.ClientOptions)) (*Store, error) {
	s := New(configure...)
	if err := s.Connect(context.Background(), uri); err != nil {
		return nil, err
	}
	return s, nil
}

// Connect sets the connection string of reads. It is the entire configuration of a Store: read preference, timeouts,
// pool size, TLS and credentials are options of the string. The first call does not wait for MongoDB. A later call, for
// a changed string or changed files that it names, takes effect when MongoDB responds: until then, and if it fails,
// reads use the previous connections. Running reads keep theirs.
//
// Connect fails if uri is invalid, or if the hosts of a mongodb+srv URI cannot be looked up; then the error wraps a
// [net.DNSError]. Connect must not be called concurrently.
func (s *Store) Connect(ctx context.Context, uri string) error {
	if err := Check(uri); err != nil {
		return err
	}
	o, err := clientOptions(ctx, uri)
	if err != nil {
		return err
	}
	for _, change := range s.configure {
		change(o)
	}
	next := &client{times: map[namespace]bson.Timestamp{}}
	next.monitorServers(o)
	if next.Client, err = mongo.Connect(o); err != nil {
		return err
	}
	next.closed, next.close = context.WithCancel(context.Background())
	next.retired, next.endWatching = context.WithCancel(context.Background())
	s.mu.Lock()
	previous := s.client
	s.mu.Unlock()
	if previous != nil {
		if err := next.Ping(ctx, nil); err != nil {
			go next.retire()
			return err
		}
	}
	s.mu.Lock()
	s.client = next
	s.mu.Unlock()
	if previous == nil {
		close(s.connected)
	} else {
		go previous.retire()
	}
	return nil
}

// retire disconnects a replaced client when its last user is done.
func (c *client) retire() {
	c.endWatching()
	c.users.Wait()
	c.close()
	_ = c.Disconnect(context.Background())
}

// Close closes all connections. Running reads have until ctx ends. Connect must not be called afterwards.
func (s *Store) Close(ctx context.Context) error {
	s.mu.Lock()
	last := s.client
	s.client, s.err = nil, mongo.ErrClientDisconnected
	s.mu.Unlock()
	if last == nil {
		return nil
	}
	last.endWatching()
	done := make(chan struct{})
	go func() {
		last.users.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	last.close()
	return last.Disconnect(context.WithoutCancel(ctx)) // without a deadline, it does not wait
}

// use returns the context of an operation, and a function that the caller must call when it has ended. The context also
// ends with the client: an operation of the driver that waits for a server would not notice that it is disconnected.
func (c *client) use(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.closed, cancel)
	return ctx, func() {
		stop()
		cancel()
		c.users.Done()
	}
}

// acquire returns the client for an operation, which must call use.
func (s *Store) acquire() (*client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		return nil, s.err
	}
	s.client.users.Add(1)
	return s.client, nil
}

// await is like acquire, but waits until the store is connected.
func (s *Store) await(ctx context.Context) (*client, error) {
	select {
	case <-s.connected:
		return s.acquire()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// IsUnavailable reports whether err means that a server could not be reached, or did not respond within the timeouts of
// the connection string, so that a retry may succeed. It is false for an error in the reply of a server.
func IsUnavailable(err error) bool {
	if err == nil || errors.Is(err, mongo.ErrClientDisconnected) {
		return false
	}
	return mongo.IsTimeout(err) || mongo.IsNetworkError(err) || !errors.As(err, new(mongo.ServerError))
}
