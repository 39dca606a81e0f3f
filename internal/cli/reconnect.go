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
	// dnsStartTimeout is how long the start of weft waits for the hosts of a mongodb+srv URI.
	dnsStartTimeout = 2 * time.Second

	// connectTimeout bounds how long MongoDB may take to accept a new connection string: its own timeouts may be none.
	connectTimeout = 30 * time.Second

	// After an attempt that failed, the next one follows in minConnectDelay, then in twice the time, up to maxConnectDelay.
	minConnectDelay = time.Second
	maxConnectDelay = 10 * time.Second
)

// connectMongoDB opens the store and keeps it connected until ctx ends: as soon as DNS knows the hosts, and with what
// --mongodb-uri-file and the certificates of the connection string contain. It fails if the connection string is wrong in
// itself.
func (s *server) connectMongoDB(ctx context.Context) error {
	current, err := watchfile.Read(s.mongodbFiles(s.mongodbURI))
	if err != nil || s.mongodbURIFile != "" && strings.TrimSpace(string(current[0])) != s.mongodbURI {
		current = nil // changed already
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

// mongodbFiles returns the files that a connection to MongoDB is made with.
func (s *server) mongodbFiles(uri string) []string {
	if s.mongodbURIFile == "" {
		return mongostore.Files(uri)
	}
	return append([]string{s.mongodbURIFile}, mongostore.Files(uri)...)
}

// watchMongoDBFiles sends the connection string each time that it, or a file that it names, has changed.
func (s *server) watchMongoDBFiles(ctx context.Context, current [][]byte, uris chan string) {
	uri := s.mongodbURI
	names := func() []string { return s.mongodbFiles(uri) }
	if len(names()) == 0 {
		return
	}
	watchfile.Watch(ctx, names, current, func(contents [][]byte, err error) {
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
			s.logger.Error("MongoDB's connection string or certificates are rejected; those from before stay in use", "error", err)
			return
		}
		uri = next
		select { // the last one counts
		case <-uris:
		default:
		}
		uris <- uri
	})
}

// keepConnected connects the store with each connection string that comes, until MongoDB accepts it. err is that of the
// first attempt.
func (s *server) keepConnected(ctx context.Context, err error, uris <-chan string) {
	const (
		noHosts     = "the hosts of MongoDB cannot be looked up; until they can, extensions are null"
		notAccepted = "MongoDB does not accept a connection with the new connection string or certificates; those from before stay in use"
	)
	isFirst := err != nil
	uri, delay, isLogged := s.mongodbURI, minConnectDelay, false
	for {
		var retry <-chan time.Time
		if err != nil {
			if message := notAccepted; !isLogged {
				if isLogged = true; isFirst {
					message = noHosts
					s.health.Set(true)
				}
				s.logger.Warn(message, "error", uriError(uri, err))
			}
			retry = time.After(delay)
			delay = min(2*delay, maxConnectDelay)
		}
		select {
		case <-ctx.Done():
			return
		case uri = <-uris:
			delay, isLogged = minConnectDelay, false
		case <-retry:
		}
		attempt, cancel := context.WithTimeout(ctx, connectTimeout)
		err = s.store.Connect(attempt, uri)
		cancel()
		switch {
		case err != nil:
		case isFirst:
			isFirst = false
			s.health.Set(false)
			s.logger.Info("the hosts of MongoDB are known")
		default:
			s.logger.Info("a new connection string or new certificates are in use for MongoDB")
		}
	}
}
