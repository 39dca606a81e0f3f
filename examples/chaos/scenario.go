package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
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
}

func scenarios() []scenario {
	type kinds = []harness.Kind
	composed := kinds{harness.Composed}
	withoutMongoDB := kinds{harness.Composed, harness.Degraded}
	withoutWeft := kinds{harness.Composed, harness.Degraded, harness.Passed}
	withoutLegacy := kinds{harness.Composed, harness.Degraded, harness.Unavailable}
	return []scenario{
		{"nothing happens", composed, false, false, (*system).wait},
		{"clients: disconnect at any time", composed, false, false, (*system).disconnectClients},
		{"weft: kill -9 and start, again and again", withoutWeft, false, true, (*system).killWeft},
		{"weft: SIGTERM and start, again and again", withoutWeft, false, true, (*system).stopWeft},
		{"weft: SIGSTOP and SIGCONT, again and again", withoutWeft, false, true, (*system).freezeWeft},
		{"mongod: kill -9 and start, again and again", withoutMongoDB, false, false, (*system).killMongod},
		{"mongod: SIGSTOP and SIGCONT", withoutMongoDB, true, false, (*system).freezeMongod},
		{"mongod: not there when weft starts", withoutWeft, true, true, (*system).lateMongod},
		{"mongod: a replica set without a primary", withoutMongoDB, true, false, (*system).withoutPrimary},
		{"legacy service: kill -9 and start, again and again", withoutLegacy, false, false, (*system).killLegacy},
		{"legacy service: SIGSTOP and SIGCONT", withoutLegacy, false, false, (*system).freezeLegacy},
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
	s := &system{options: o}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	fmt.Fprintln(out, "| scenario | requests | composed | degraded | passed | 503 detail | wrong | slowest "+
		"| whole again with |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, scenario := range scenarios() {
		if !strings.Contains(scenario.name, o.only) || scenario.process && o.library != "" {
			continue
		}
		n, err := s.runScenario(ctx, scenario, out)
		if err != nil {
			return wrong, fmt.Errorf("%s: %w", scenario.name, err)
		}
		wrong += n
	}
	fmt.Fprintf(out, "\nMiB of resident memory after each scenario, of the process with weft: %s\n",
		strings.Trim(fmt.Sprint(s.resident), "[]"))
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
	c.load.Stop()
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
	fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %d | %d | %.1f s | %s |\n",
		scenario.name, requests, c.counts[harness.Composed], c.counts[harness.Degraded], c.counts[harness.Passed],
		c.counts[harness.Unavailable], c.counts[harness.Wrong], c.slowest.Seconds(), again)
	for _, description := range c.wrong {
		fmt.Fprintln(out, "wrong:", description)
	}
	return c.counts[harness.Wrong], nil
}

// awaitComposite sends requests until a response is composed. It returns how many it sent.
func (s *system) awaitComposite(ctx context.Context) (string, error) {
	client := harness.NewClient(false)
	defer client.CloseIdleConnections()
	const tries = 20
	var description string
	for n := 1; n <= tries; n++ {
		var kind harness.Kind
		if kind, description = s.get(ctx, client, s.users[n], harness.Routes()[1]); kind == harness.Composed {
			if n == 1 {
				return "the next request", nil
			}
			return fmt.Sprintf("%d requests", n), nil
		}
	}
	return "", fmt.Errorf("no composed response in %d requests: %s", tries, description)
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
	load := harness.StartLoad(max(2, s.clients/8), func(client *http.Client, i int) bool {
		short, cancel := context.WithTimeout(ctx, rand.N(4*time.Millisecond))
		defer cancel()
		_, _ = s.get(short, client, s.users[rand.IntN(len(s.users))], harness.Routes()[i%2])
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
		pause(ctx, time.Second)
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
	_ = s.wait(ctx)
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
		pause(ctx, 50*time.Millisecond)
		return s.startLegacy(ctx)
	})
}

func (s *system) freezeLegacy(ctx context.Context) error {
	return s.repeat(ctx, func() error {
		pause(ctx, 500*time.Millisecond)
		if err := s.legacy.Freeze(); err != nil {
			return err
		}
		pause(ctx, 4*time.Second)
		return s.legacy.Signal(syscall.SIGCONT)
	})
}
