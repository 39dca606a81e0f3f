package cli

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"weft/enrich"
	"weft/enrich/cache"
	"weft/enrich/mongostore"
	"weft/internal/watchfile"
)

const (
	// dnsStartTimeout limits how long weft waits at start for DNS to resolve a mongodb+srv URI.
	dnsStartTimeout = 2 * time.Second

	// connectTimeout limits an attempt to connect with a new connection string, whose own timeouts may be infinite.
	connectTimeout = 30 * time.Second

	// The delay after a failed attempt doubles from minConnectDelay to maxConnectDelay.
	minConnectDelay = time.Second
	maxConnectDelay = 10 * time.Second
)

// Log messages.
const (
	hostsUnresolved   = "mongodb hosts not resolved; extensions are null"
	hostsResolved     = "mongodb hosts resolved"
	connectionInvalid = "mongodb connection string or certificates invalid; the previous ones stay in use"
	connectionFailed  = "mongodb rejects the new connection string or certificates; the previous ones stay in use"
	connectionUpdated = "mongodb accepts the new connection string or certificates"
)

// connectMongoDB opens the store and keeps it connected until ctx ends. It retries until DNS resolves the hosts, and
// reconnects when --mongodb-uri-file or a certificate that the connection string names changes. It returns an error if
// the connection string is invalid.
func (s *server) connectMongoDB(ctx context.Context) error {
	current, err := watchfile.Read(s.mongodbFiles(s.mongodbURI))
	if err != nil || s.mongodbURIFile != "" && strings.TrimSpace(string(current[0])) != s.mongodbURI {
		current = nil // the file has changed since mongodbURI read it
	}
	s.store = mongostore.New(s.metrics.WatchDriver)
	s.store.Ended = s.metrics.Command
	s.store.Watched = s.watched
	s.reads = cache.New(enrich.Limit(enrich.Batch(s.store), s.maxReads), s.store.Watch)
	s.reads.IsAvailable = s.store.IsAvailable
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

// mongodbFiles returns the files that a connection depends on: --mongodb-uri-file and those that uri names.
func (s *server) mongodbFiles(uri string) []string {
	if s.mongodbURIFile == "" {
		return mongostore.Files(uri)
	}
	return append([]string{s.mongodbURIFile}, mongostore.Files(uri)...)
}

// watchMongoDBFiles sends the connection string to uris each time it, or a file that it names, changes.
func (s *server) watchMongoDBFiles(ctx context.Context, current [][]byte, uris chan string) {
	uri := s.mongodbURI
	names := func() []string { return s.mongodbFiles(uri) }
	if len(names()) == 0 {
		return
	}
	watchfile.Watch(ctx, names, current, func(contents [][]byte, err error) {
		next := uri
		if err == nil && s.mongodbURIFile != "" {
			next, err = mongodbSource.parseFile(s.mongodbURIFile, contents[0])
		}
		if err == nil {
			if err = mongostore.Check(next); err != nil {
				err = uriError(next, err)
			}
		}
		if err != nil {
			s.logger.Error(connectionInvalid, "error", err)
			return
		}
		uri = next
		select { // replace a string that has not been received yet
		case <-uris:
		default:
		}
		uris <- uri
	}, func(err error) { s.reportPolling("mongodb", err) })
}

// keepConnected reconnects with each connection string from uris, and retries with the latest one while that fails. It
// logs the first error for each string. The first attempt has failed with err, if err is not nil.
func (s *server) keepConnected(ctx context.Context, err error, uris <-chan string) {
	uri, failed, connected := s.mongodbURI, connectionFailed, connectionUpdated
	if err != nil {
		failed, connected = hostsUnresolved, hostsResolved
		s.health.Set(true)
		s.logger.Warn(failed, "error", uriError(uri, err))
	}
	for delay := minConnectDelay; ; {
		var retry <-chan time.Time
		if err != nil {
			retry = time.After(delay)
		}
		isNew := false
		select {
		case <-ctx.Done():
			return
		case uri = <-uris:
			isNew, delay = true, minConnectDelay
		case <-retry:
			delay = min(2*delay, maxConnectDelay)
		}
		attempt, cancel := context.WithTimeout(ctx, connectTimeout)
		err = s.store.Connect(attempt, uri)
		cancel()
		switch {
		case err == nil:
			if connected == hostsResolved {
				s.health.Set(false)
			}
			s.logger.Info(connected)
			failed, connected = connectionFailed, connectionUpdated
		case isNew:
			s.logger.Warn(failed, "error", uriError(uri, err))
		}
	}
}
