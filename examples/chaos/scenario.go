package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"weft/test/harness"
)

// scenario disturbs a part of the system. Afterwards everything is running again.
type scenario struct {
	name    string
	allowed []harness.Kind // responses that clients may get
	many    bool           // at least 200 clients
	process bool           // needs weft's own process
	disturb func(s *system, ctx context.Context) error
	whole   float64 // at least this part of the responses has core and extension; without credentials
}

// group is a list of scenarios for one system.
type group struct {
	name      string
	caches    bool
	redis     bool // keeps the cores
	scenarios []scenario
}

func groups() []group {
	type kinds = []harness.Kind
	composed := kinds{harness.Composed}
	withoutMongoDB := kinds{harness.Composed, harness.Degraded}
	withoutWeft := kinds{harness.Composed, harness.Degraded, harness.Passed}
	withoutLegacy := kinds{harness.Composed, harness.Degraded, harness.Unavailable}
	withoutAny := append(withoutWeft, harness.Unavailable)
	return []group{
		{"without caches", false, false, []scenario{
			{"nothing happens", composed, false, false, (*system).wait, 1},
			{"clients: disconnect at any time", composed, false, false, (*system).disconnectClients, 1},
			{"weft: kill -9 and start, again and again", withoutWeft, false, true, (*system).killWeft, 0},
			{"weft: SIGTERM and start, again and again", withoutWeft, false, true, (*system).stopWeft, 0},
			{"weft: SIGSTOP and SIGCONT, again and again", withoutWeft, false, true, (*system).freezeWeft, 0},
			{"mongod: kill -9 and start, again and again", withoutMongoDB, false, false, (*system).killMongod, 0},
			{"mongod: SIGSTOP and SIGCONT", withoutMongoDB, true, false, (*system).freezeMongod, 0},
			{"mongod: not there when weft starts", withoutWeft, true, true, (*system).lateMongod, 0},
			{"mongod: a replica set without a primary", withoutMongoDB, true, false, (*system).withoutPrimary, 0},
			{"legacy service: kill -9 and start, again and again", withoutLegacy, false, false, (*system).killLegacy, 0},
			{"legacy service: SIGSTOP and SIGCONT", withoutLegacy, false, false, (*system).freezeLegacy, 0},
		}},
		{"with caches", true, false, []scenario{
			{"caches: nothing happens", withoutLegacy, false, false, (*system).wait, .99},
			{"caches: weft: kill -9 and start, again and again", withoutAny, false, true, (*system).killWeft, 0},
			{"caches: mongod: kill -9 and start, again and again", withoutMongoDB, false, false, (*system).killMongod, .99},
			{"caches: mongod: SIGSTOP and SIGCONT", withoutMongoDB, true, false, (*system).freezeMongod, .99},
			{"caches: mongod: a replica set without a primary", withoutMongoDB, true, false, (*system).withoutPrimary, .99},
			{"caches: legacy: kill -9 and start, again and again", withoutLegacy, false, false, (*system).killLegacy, .99},
			{"caches: legacy: SIGSTOP and SIGCONT", withoutLegacy, false, false, (*system).freezeLegacy, .99},
			{"caches: both: kill -9 and start, again and again", withoutLegacy, false, false, (*system).killBoth, .99},
		}},
		{"with caches and Redis", true, true, []scenario{
			{"redis: kill -9 and start, again and again", composed, false, false, (*system).killRedis, 1},
			{"redis: SIGSTOP and SIGCONT, again and again", composed, false, false, (*system).freezeRedis, 1},
			{"redis: FLUSHALL, again and again", composed, false, false, (*system).flushRedis, 1},
			{"redis: full, again and again", composed, false, false, (*system).fillRedis, 1},
			{"redis: slow", composed, false, false, (*system).slowRedis, 1},
			{"redis: legacy: kill -9 and start, again and again", withoutLegacy, false, false, (*system).killLegacy, .99},
			{"redis: both: kill -9 and start, again and again", withoutLegacy, false, false, (*system).killRedisAndLegacy, .99},
		}},
	}
}

// run runs the scenarios and prints a table row for each. It returns the number of wrong responses.
func run(ctx context.Context, o options, out io.Writer) (wrong int, err error) {
	for _, path := range []*string{&o.weft, &o.legacy, &o.library} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return 0, err
		}
	}
	var resident []int
	isFirst := true
	for _, g := range groups() {
		g.scenarios = slices.DeleteFunc(g.scenarios, func(s scenario) bool {
			return !strings.Contains(s.name, o.only) || s.process && o.library != ""
		})
		if len(g.scenarios) == 0 {
			continue
		}
		if isFirst {
			fmt.Fprintln(out, "| scenario | requests | composed | degraded | passed | 503 detail | wrong "+
				"| stale | whole | slowest | whole again with |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
			isFirst = false
		}
		s := &system{options: o, caches: g.caches, hasRedis: g.redis}
		n, err := s.runGroup(ctx, g, out)
		wrong += n
		if err != nil {
			return wrong, fmt.Errorf("%s: %w", g.name, err)
		}
		resident = append(resident, s.resident...)
	}
	fmt.Fprintf(out, "\nMiB of resident memory after each scenario, of the process with weft: %s\n",
		strings.Trim(fmt.Sprint(resident), "[]"))
	return wrong, nil
}

// runGroup starts the system, runs scenarios, and stops it. It returns the number of wrong responses.
func (s *system) runGroup(ctx context.Context, g group, out io.Writer) (wrong int, err error) {
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	if s.caches {
		if err := s.settle(ctx); err != nil { // fills the caches
			fmt.Fprintln(out, "wrong:", err)
			wrong++
		}
	}
	for _, scenario := range g.scenarios {
		n, err := s.runScenario(ctx, scenario, out)
		wrong += n
		if err != nil {
			return wrong, fmt.Errorf("%s: %w", scenario.name, err)
		}
	}
	return wrong, nil
}

// runScenario runs one scenario. It returns the number of wrong responses.
func (s *system) runScenario(ctx context.Context, scenario scenario, out io.Writer) (wrong int, err error) {
	number := s.clients
	if scenario.many {
		number = max(number, 200)
	}
	c := s.startClients(ctx, number, scenario.allowed)
	err = scenario.disturb(s, ctx)
	c.stop()
	if err := errors.Join(err, ctx.Err()); err != nil {
		return 0, err
	}
	again, err := s.awaitComposite(ctx)
	if err != nil {
		return 0, err
	}
	idle, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.Envoy.AwaitIdle(idle); err != nil {
		return 0, fmt.Errorf("requests are still open: %w", err)
	}
	resident, err := s.residentMiB()
	if err != nil {
		return 0, err
	}
	s.resident = append(s.resident, resident)
	requests := 0
	for _, n := range c.counts {
		requests += n
	}
	whole := float64(c.whole) / float64(c.anonymous)
	fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %d | %d | %d | %.2f %% | %.1f s | %s |\n",
		scenario.name, requests, c.counts[harness.Composed], c.counts[harness.Degraded], c.counts[harness.Passed],
		c.counts[harness.Unavailable], c.counts[harness.Wrong], c.stale, 100*whole, c.slowest.Seconds(), again)
	if s.caches {
		if err := s.settle(ctx); err != nil {
			c.wrong = append(c.wrong, err.Error())
			c.counts[harness.Wrong]++
		}
	}
	for _, description := range c.wrong {
		fmt.Fprintln(out, "wrong:", description)
	}
	if whole < scenario.whole {
		err := fmt.Errorf("%.2f %% of the responses are whole, want %.0f %%", 100*whole, 100*scenario.whole)
		return c.counts[harness.Wrong], err
	}
	return c.counts[harness.Wrong], ctx.Err()
}

// awaitComposite sends requests until a response is composed. It returns how many it sent.
func (s *system) awaitComposite(ctx context.Context) (string, error) {
	httpClient := harness.NewClient(false)
	defer httpClient.CloseIdleConnections()
	c := newClient(1, false)
	const tries = 20
	var r result
	for n := 1; n <= tries; n++ {
		if r = s.get(ctx, httpClient, c, s.users[n]); r.kind == harness.Composed {
			if n == 1 {
				return "the next request", nil
			}
			return fmt.Sprintf("%d requests", n), nil
		}
	}
	return "", fmt.Errorf("no composed response in %d requests: %s", tries, r.description)
}

// pause waits for a random time with the given mean.
func pause(ctx context.Context, mean time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(rand.N(2 * mean)):
	}
}

// repeat repeats a step for the length of a scenario, at least once.
func (s *system) repeat(ctx context.Context, step func() error) error {
	for end := time.Now().Add(s.length); ; {
		if err := step(); err != nil {
			return err
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return nil
		}
	}
}

// wait waits for the length of a scenario.
func (s *system) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-time.After(s.length):
	}
	return nil
}

// disconnectClients starts additional clients that wait for a response up to 4 ms, and then disconnect.
func (s *system) disconnectClients(ctx context.Context) error {
	load := harness.StartLoad(max(2, s.clients/8), func(httpClient *http.Client, i int) bool {
		short, cancel := context.WithTimeout(ctx, rand.N(4*time.Millisecond))
		defer cancel()
		s.get(short, httpClient, newClient(i, false), s.users[rand.IntN(len(s.users))])
		return ctx.Err() == nil
	})
	defer load.Stop()
	return s.wait(ctx)
}

func (s *system) killWeft(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 200*time.Millisecond)
		if err := s.weft.Kill(); err != nil {
			return err
		}
		pause(ctx, 50*time.Millisecond)
		return s.startWeft(ctx)
	})
}

func (s *system) stopWeft(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 200*time.Millisecond)
		if err := s.weft.Stop(20 * time.Second); err != nil {
			return err
		}
		if err := s.weft.Err(); err != nil {
			return s.weft.Ended()
		}
		return s.startWeft(ctx)
	})
}

func (s *system) freezeWeft(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 500*time.Millisecond)
		if err := s.weft.Freeze(); err != nil {
			return err
		}
		pause(ctx, 1500*time.Millisecond)
		return s.weft.Signal(syscall.SIGCONT)
	})
}

func (s *system) killMongod(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 2*time.Second)
		if err := s.Mongod.Kill(); err != nil {
			return err
		}
		s.mongoDown.begin()
		pause(ctx, time.Second)
		s.mongoDown.end()
		if err := s.RestartMongod(ctx); err != nil {
			return err
		}
		return s.awaitPrimary(ctx)
	})
}

func (s *system) freezeMongod(ctx context.Context) error {
	pause(ctx, time.Second)
	if err := s.Mongod.Freeze(); err != nil {
		return err
	}
	s.mongoDown.begin()
	_ = s.wait(ctx)
	s.mongoDown.end()
	return s.Mongod.Signal(syscall.SIGCONT)
}

func (s *system) lateMongod(ctx context.Context) error {
	if err := errors.Join(s.Mongod.Kill(), s.weft.Kill()); err != nil {
		return err
	}
	if err := s.startWeft(ctx); err != nil {
		return err
	}
	_ = s.wait(ctx)
	if err := s.RestartMongod(ctx); err != nil {
		return err
	}
	return s.awaitPrimary(ctx)
}

// withoutPrimary makes the only member step down for the length of the scenario.
func (s *system) withoutPrimary(ctx context.Context) error {
	pause(ctx, time.Second)
	if err := s.admin(ctx, bson.D{{Key: "replSetStepDown", Value: 3600}, {Key: "force", Value: true}}); err != nil {
		return err
	}
	_ = s.wait(ctx)
	if err := s.admin(ctx, bson.D{{Key: "replSetFreeze", Value: 0}}); err != nil {
		return err
	}
	return s.awaitPrimary(ctx)
}

func (s *system) killLegacy(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 200*time.Millisecond)
		if err := s.legacy.Kill(); err != nil {
			return err
		}
		s.legacyDown.begin()
		pause(ctx, 50*time.Millisecond)
		s.legacyDown.end()
		return s.startLegacy(ctx)
	})
}

func (s *system) freezeLegacy(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 500*time.Millisecond)
		if err := s.legacy.Freeze(); err != nil {
			return err
		}
		s.legacyDown.begin()
		pause(ctx, 4*time.Second)
		s.legacyDown.end()
		return s.legacy.Signal(syscall.SIGCONT)
	})
}
