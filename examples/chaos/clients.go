package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"weft/test/harness"
)

// client is a client that sends one request after the other.
type client struct {
	route  string
	caller string      // value of authorization; empty means none
	seen   map[int]int // newest version of the core, by user
}

func newClient(number int, hasCallers bool) *client {
	c := &client{route: harness.Routes()[number%2], seen: map[int]int{}}
	if hasCallers && number/4%4 == 3 {
		c.caller = fmt.Sprintf("Bearer %d", number)
	}
	return c
}

// clients send requests for random users: half of the clients on each route, half with HTTP/1.1 and half with HTTP/2.
// If there are caches, a quarter has credentials, and writers change the users.
type clients struct {
	system  *system
	allowed map[harness.Kind]bool // other responses are wrong
	load    *harness.Load
	writers *writers // nil without caches

	mu        sync.Mutex
	counts    map[harness.Kind]int
	stale     int
	anonymous int // requests without credentials
	whole     int // of these, those with core and extension
	slowest   time.Duration
	wrong     []string // the first wrong responses
}

func (s *system) startClients(ctx context.Context, number int, allowed []harness.Kind) *clients {
	c := &clients{system: s, allowed: map[harness.Kind]bool{}, counts: map[harness.Kind]int{}}
	for _, kind := range allowed {
		c.allowed[kind] = true
	}
	if s.caches {
		c.writers = s.startWriters(ctx)
	}
	each := make([]*client, number)
	for i := range each {
		each[i] = newClient(i, s.caches)
	}
	c.load = harness.StartLoad(number, func(client *http.Client, i int) bool {
		c.send(ctx, client, each[i])
		return ctx.Err() == nil
	})
	return c
}

// stop waits for the last responses and writes. All processes must be running.
func (c *clients) stop() {
	c.load.Stop()
	if c.writers != nil {
		c.writers.end()
	}
}

func (c *clients) send(ctx context.Context, httpClient *http.Client, from *client) {
	began := time.Now()
	r := c.system.get(ctx, httpClient, from, c.system.users[rand.IntN(len(c.system.users))])
	took := time.Since(began)
	if ctx.Err() != nil {
		return // interrupted
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.allowed[r.kind] {
		r.kind = harness.Wrong
		if len(c.wrong) < 5 {
			c.wrong = append(c.wrong, r.description)
		}
	}
	c.counts[r.kind]++
	if r.isStale {
		c.stale++
	}
	if from.caller == "" {
		c.anonymous++
		if r.kind == harness.Composed {
			c.whole++
		}
		if c.writers != nil && c.anonymous%readsPerWrite == 0 {
			c.writers.wake()
		}
	}
	c.slowest = max(c.slowest, took)
}

// get requests a user.
func (s *system) get(ctx context.Context, httpClient *http.Client, c *client, u *user) result {
	path := fmt.Sprint(c.route, u.ID)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		return result{description: err.Error()}
	}
	if c.caller != "" {
		request.Header.Set("Authorization", c.caller)
	}
	before := s.known(u)
	answer, err := harness.Do(httpClient, request)
	if err != nil {
		return result{description: fmt.Sprintf("%s: %v", path, err)}
	}
	r := s.check(c, u, before, answer)
	r.description = path + ": " + r.description
	return r
}
