package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
