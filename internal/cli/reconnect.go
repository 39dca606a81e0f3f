package cli

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"weft/enrich/mongostore"
	"weft/internal/watchfile"
)

const (
	// dnsStartTimeout bounds how long the start of weft waits for the hosts of a mongodb+srv URI.
	dnsStartTimeout = 2 * time.Second

	// connectTimeout bounds how long MongoDB may take to accept a new connection string. The timeouts in the string may
	// be infinite.
	connectTimeout = 30 * time.Second

	// After an attempt that failed, the next one follows after minConnectDelay, then after twice the delay, and so on
	// up to maxConnectDelay.
	minConnectDelay = time.Second
	maxConnectDelay = 10 * time.Second
)

// Log messages.
const (
	hostsUnknown          = "MongoDB's hosts cannot be looked up; until they can, extensions are null"
	hostsKnown            = "MongoDB's hosts have been looked up"
	connectionRejected    = "the MongoDB connection string or its certificates are rejected; the previous ones stay in use"
	connectionNotAccepted = "MongoDB does not accept the new connection string or certificates; the previous ones stay in use"
	connectionReplaced    = "MongoDB accepts the new connection string or certificates"
)

// connectMongoDB opens the store and keeps it connected until ctx ends: as soon as DNS knows the hosts, and with the
// current contents of --mongodb-uri-file and of the certificates that the connection string names. It fails if the
// connection string is invalid.
func (s *server) connectMongoDB(ctx context.Context) error {
	current, err := watchfile.Read(s.mongodbFiles(s.mongodbURI))
	if err != nil || s.mongodbURIFile != "" && strings.TrimSpace(string(current[0])) != s.mongodbURI {
		current = nil // changed since the start
	}
	s.store = mongostore.New(s.metrics.WatchDriver)
	s.store.Ended = s.metrics.Command
	dns, cancel := context.WithTimeout(ctx, dnsStartTimeout)
	defer cancel()
	err = s.store.Connect(dns, s.mongodbURI)
	if err != nil && !errors.As(err, new(*net.DNSError)) {
		return uriError(s.mongodbURI, err)
	}
	uris := make(chan string, 1)
	go s.watchMongoDBFiles(ctx, current, uris)
	go s.keepConnected(ctx, err, uris)
	return nil
}

// mongodbFiles returns the files of a connection to MongoDB.
func (s *server) mongodbFiles(uri string) []string {
	if s.mongodbURIFile == "" {
		return mongostore.Files(uri)
	}
	return append([]string{s.mongodbURIFile}, mongostore.Files(uri)...)
}

// watchMongoDBFiles sends the connection string each time that it, or a file that it names, changes.
func (s *server) watchMongoDBFiles(ctx context.Context, current [][]byte, uris chan string) {
	uri := s.mongodbURI
	names := func() []string { return s.mongodbFiles(uri) }
	if len(names()) == 0 {
		return
	}
	watchfile.Watch(ctx, names, current, func(contents [][]byte, err error) {
		if errors.Is(err, watchfile.ErrPolled) {
			s.reportPolling("mongodb", err)
			return
		}
		next := uri
		if err == nil && s.mongodbURIFile != "" {
			next, err = parseURIFile(s.mongodbURIFile, contents[0])
		}
		if err == nil {
			if err = mongostore.Check(next); err != nil {
				err = uriError(next, err)
			}
		}
		if err != nil {
			s.logger.Error(connectionRejected, "error", err)
			return
		}
		uri = next
		select { // only the latest one counts
		case <-uris:
		default:
		}
		uris <- uri
	})
}

// keepConnected connects the store if the first attempt has failed with an error, and again with each connection
// string.
func (s *server) keepConnected(ctx context.Context, err error, uris <-chan string) {
	uri := s.mongodbURI
	if err != nil {
		s.health.Set(true)
		if !s.retryConnect(ctx, uri, err, uris, hostsUnknown) {
			return
		}
		s.health.Set(false)
		s.logger.Info(hostsKnown)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case uri = <-uris:
		}
		if err := s.tryConnect(ctx, uri); err != nil && !s.retryConnect(ctx, uri, err, uris, connectionNotAccepted) {
			return
		}
		s.logger.Info(connectionReplaced)
	}
}

func (s *server) tryConnect(ctx context.Context, uri string) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return s.store.Connect(ctx, uri)
}

// retryConnect follows an attempt to connect that failed. It tries again, with the latest connection string, until it
// succeeds, or reports false when ctx ends. It logs the first error of each connection string.
func (s *server) retryConnect(ctx context.Context, uri string, err error, uris <-chan string, message string) bool {
	s.logger.Warn(message, "error", uriError(uri, err))
	for delay := minConnectDelay; ; delay = min(2*delay, maxConnectDelay) {
		isNew := false
		select {
		case <-ctx.Done():
			return false
		case uri = <-uris:
			isNew, delay = true, minConnectDelay
		case <-time.After(delay):
		}
		switch err := s.tryConnect(ctx, uri); {
		case err == nil:
			return true
		case isNew:
			s.logger.Warn(message, "error", uriError(uri, err))
		}
	}
}
