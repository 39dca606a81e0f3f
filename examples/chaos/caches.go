package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"time"

	userprofile "weft/examples/user-profile"
	"weft/test/harness"
)

// maxAge is the freshness lifetime of a response from the legacy service. Its headers have whole seconds.
const maxAge = time.Second

// cachedRules returns the built-in rules with caches. A core of the rule composite-profile is also used while it is
// fresh, a core of the rule user only if the legacy service fails.
func cachedRules() string {
	return strings.NewReplacer(
		"        database:", "        cache: {max_age: 10m, stale_if_error: 10m}\n        database:",
		"    core: &core\n", "    core: &core\n      stale_if_error: 10m\n",
		"    core: *core\n", "    core:\n      <<: *core\n      cache: true\n      coalesce: true\n",
	).Replace(string(userprofile.Rules))
}

// extensionMaxAge returns how old an extension may be that is not stale. A change reaches weft within 3 s.
func (s *system) extensionMaxAge() time.Duration {
	if !s.caches {
		return 0
	}
	return 3*time.Second + 2*s.messageTimeout
}

// coreMaxAge returns how old a core may be that is not stale.
func (s *system) coreMaxAge(route string) time.Duration {
	if !s.caches || route == harness.Routes()[0] {
		return 0
	}
	return maxAge + time.Second + 2*s.messageTimeout
}

// settle requests each user until the response is whole, not stale and has the last versions. The routes share the
// caches, so one is enough.
func (s *system) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second+10*s.messageTimeout)
	defer cancel()
	httpClient := harness.NewClient(false)
	defer httpClient.CloseIdleConnections()
	c := newClient(1, false)
	for _, u := range s.users {
		if err := harness.Await(ctx, func(ctx context.Context) error {
			r := s.get(ctx, httpClient, c, u)
			isLast := r.core == u.core.last() && r.extension == u.extension.last()
			if r.kind == harness.Composed && !r.isStale && isLast {
				return nil
			}
			return errors.New(r.description)
		}); err != nil {
			return fmt.Errorf("user %d has not its last version: %w", u.ID, err)
		}
	}
	return nil
}

// killBoth kills the legacy service, MongoDB or both.
func (s *system) killBoth(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 500*time.Millisecond)
		which := 1 + rand.N(3)
		if which&1 != 0 {
			if err := s.legacy.Kill(); err != nil {
				return err
			}
			s.legacyDown.begin()
		}
		if which&2 != 0 {
			if err := s.Mongod.Kill(); err != nil {
				return err
			}
			s.mongoDown.begin()
		}
		pause(ctx, 500*time.Millisecond)
		if which&1 != 0 {
			s.legacyDown.end()
			if err := s.startLegacy(ctx); err != nil {
				return err
			}
		}
		if which&2 == 0 {
			return nil
		}
		s.mongoDown.end()
		if err := s.RestartMongod(ctx); err != nil {
			return err
		}
		return s.awaitPrimary(ctx)
	})
}

func (s *system) killRedis(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 500*time.Millisecond)
		if err := s.redis.Kill(); err != nil {
			return err
		}
		pause(ctx, 500*time.Millisecond)
		return s.startRedis(ctx, s.redis.Options)
	})
}

func (s *system) freezeRedis(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 500*time.Millisecond)
		if err := s.redis.Freeze(); err != nil {
			return err
		}
		pause(ctx, 500*time.Millisecond)
		return s.redis.Signal(syscall.SIGCONT)
	})
}

func (s *system) flushRedis(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 100*time.Millisecond)
		_, err := s.redis.Run(ctx, "FLUSHALL")
		return err
	})
}

// fillRedis makes Redis reject writes, as if its memory was full.
func (s *system) fillRedis(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		for _, limit := range []string{"1", "0"} { // bytes; 0 is no limit
			pause(ctx, 500*time.Millisecond)
			if _, err := s.redis.Run(ctx, "CONFIG", "SET", "maxmemory", limit); err != nil {
				return err
			}
		}
		return nil
	})
}

// slowRedis makes some commands of Redis take up to 30 ms.
func (s *system) slowRedis(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 50*time.Millisecond)
		_, err := s.redis.Run(ctx, "CLIENT", "PAUSE", 30)
		return err
	})
}

// killRedisAndLegacy kills the legacy service and Redis, which then has lost the cores.
func (s *system) killRedisAndLegacy(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 500*time.Millisecond)
		if err := errors.Join(s.redis.Kill(), s.legacy.Kill()); err != nil {
			return err
		}
		s.legacyDown.begin()
		pause(ctx, 300*time.Millisecond)
		if err := s.startRedis(ctx, s.redis.Options); err != nil {
			return err
		}
		pause(ctx, 300*time.Millisecond)
		s.legacyDown.end()
		return s.startLegacy(ctx)
	})
}
