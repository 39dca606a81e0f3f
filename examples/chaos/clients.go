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

// clients send requests for random users: half of the clients on each route, half with HTTP/1.1 and half with HTTP/2.
type clients struct {
	system  *system
	allowed map[harness.Kind]bool // other responses are wrong
	load    *harness.Load

	mu      sync.Mutex
	counts  map[harness.Kind]int
	slowest time.Duration
	wrong   []string // the first wrong responses
}

func (s *system) startClients(ctx context.Context, number int, allowed []harness.Kind) *clients {
	c := &clients{system: s, allowed: map[harness.Kind]bool{}, counts: map[harness.Kind]int{}}
	for _, kind := range allowed {
		c.allowed[kind] = true
	}
	c.load = harness.StartLoad(number, func(client *http.Client, i int) bool {
		c.send(ctx, client, harness.Routes()[i%2])
		return ctx.Err() == nil
	})
	return c
}

func (c *clients) send(ctx context.Context, client *http.Client, route string) {
	began := time.Now()
	kind, description := c.system.get(ctx, client, c.system.users[rand.IntN(len(c.system.users))], route)
	took := time.Since(began)
	if ctx.Err() != nil {
		return // interrupted
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.allowed[kind] {
		kind = harness.Wrong
		if len(c.wrong) < 5 {
			c.wrong = append(c.wrong, description)
		}
	}
	c.counts[kind]++
	c.slowest = max(c.slowest, took)
}

// get requests a user. It returns the kind of the response and a description.
func (s *system) get(ctx context.Context, client *http.Client, user harness.User, route string) (harness.Kind, string) {
	path := fmt.Sprint(route, user.ID)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		return harness.Wrong, err.Error()
	}
	answer, err := harness.Do(client, request)
	if err != nil {
		return harness.Wrong, fmt.Sprintf("%s: %v", path, err)
	}
	kind := user.Kind(answer)
	if kind == harness.Passed && route != harness.Routes()[0] { // the composite route always has the shape
		kind = harness.Wrong
	}
	return kind, fmt.Sprintf("%s: %.400s", path, answer)
}
