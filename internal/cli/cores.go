package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"weft/enrich"
	"weft/enrich/corestore"
	"weft/internal/observe"
	"weft/internal/rulesfile"
	"weft/internal/watchfile"
)

// Log messages.
const (
	redisUnavailable = "redis unavailable; only cores that this instance has kept stand in"
	redisAvailable   = "redis available again"
	redisURLInvalid  = "redis url invalid; the previous one stays in use"
	redisURLUpdated  = "redis url updated"
)

// coreFlags returns the flags for kept cores.
func (s *server) coreFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "core-cache-size", Value: "64MiB", Sources: cli.EnvVars("WEFT_CORE_CACHE_SIZE"),
			Destination: &s.coreCacheSize,
			Validator:   func(text string) error { _, err := rulesfile.ParseSize(text); return err },
			Usage: "memory for cores that rules keep, a `SIZE` such as 512MiB; with --redis-url, " +
				"for those that stand in while Redis is down",
		},
		&cli.StringFlag{
			Name: "redis-url", Sources: cli.EnvVars("WEFT_REDIS_URL"),
			Usage: "`URL` of a Redis that keeps cores for all instances: redis://HOST:PORT, rediss:// with TLS, unix://PATH; " +
				"with ?addr=HOST:PORT, a cluster; if it has a password, use the environment or --redis-url-file instead",
		},
		&cli.StringFlag{
			Name: "redis-url-file", Sources: cli.EnvVars("WEFT_REDIS_URL_FILE"),
			Usage: "`FILE` with the URL of Redis, such as a mounted Secret; reloaded when it changes",
		},
	}
}

// openCores opens the store of cores: memory, or Redis and memory that stands in for it. It returns an error if the URL
// of Redis is invalid. It does not wait for Redis, which may be unavailable. Call closeCores at the end.
func (s *server) openCores(ctx context.Context) error {
	size, err := rulesfile.ParseSize(s.coreCacheSize)
	if err != nil {
		return usageErrorf("--core-cache-size: %w", err)
	}
	var redis *corestore.Redis
	if s.redisURL != "" {
		if redis, err = corestore.NewRedis(s.redisURL); err != nil {
			return redisURLError(s.redisURL, err)
		}
	}
	memory := corestore.NewMemory(uint64(size))
	observe.CoreMemory(s.registry, memory.Stats)
	if redis == nil {
		s.cores, s.closeCores = memory, memory.Close
		return nil
	}
	guard := corestore.NewGuard(redis, func(err error) {
		if err != nil {
			s.logger.Warn(redisUnavailable, "error", err)
			return
		}
		s.logger.Info(redisAvailable)
	})
	s.cores, s.localCores = guard, memory
	s.closeCores = func() { guard.Close(); _ = redis.Close(); memory.Close() }
	observe.CoreGuard(s.registry, guard.Stats)
	if s.redisURLFile != "" {
		go s.watchRedisURL(ctx, redis)
	}
	return nil
}

// newCores returns the cores in the stores of openCores.
func (s *server) newCores() *enrich.Cores { return enrich.NewCores(s.cores, s.localCores, nil) }

// watchRedisURL applies changes of --redis-url-file.
func (s *server) watchRedisURL(ctx context.Context, redis *corestore.Redis) {
	current := s.redisURL
	names := func() []string { return []string{s.redisURLFile} }
	watchfile.Watch(ctx, names, nil, func(contents [][]byte, err error) {
		next := current
		if err == nil {
			next, err = redisSource.parseFile(s.redisURLFile, contents[0])
		}
		if err == nil && next == current {
			return
		}
		if err == nil {
			if err = redis.SetURL(next); err != nil {
				err = redisURLError(next, err)
			}
		}
		if err != nil {
			s.logger.Error(redisURLInvalid, "error", err)
			return
		}
		current = next
		s.logger.Info(redisURLUpdated)
	}, func(err error) { s.reportPolling("redis", err) })
}

// redisURLError returns the error to report for a URL. Errors of parsers quote the URL, and so part of a password. They
// are replaced by that of the URL without the user.
func redisURLError(url string, err error) error {
	scheme, rest, _ := strings.Cut(url, "://")
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		if err = corestore.Check(scheme + "://" + rest[i+1:]); err == nil {
			return errors.New("--redis-url: invalid user name or password; percent-encode it, for example " +
				"rediss://user:p%40ss@redis.internal:6379")
		}
	}
	return fmt.Errorf("--redis-url: %w; want, for example, redis://localhost:6379", err)
}
