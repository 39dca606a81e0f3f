package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// scenario is a kind of trouble, and what clients may get while it lasts. When it is over, everything runs again.
type scenario struct {
	name    string
	allowed []kind
	many    bool // at least 200 clients
	trouble func(w *world, ctx context.Context) error
}

func scenarios() []scenario {
	return []scenario{
		{"nothing happens", []kind{composed}, false, (*world).calm},
		{"weft: kill -9 and start, again and again", []kind{composed, degraded, passed}, false, (*world).killWeft},
		{"weft: SIGTERM and start, again and again", []kind{composed, degraded, passed}, false, (*world).stopWeft},
		{"weft: SIGSTOP and SIGCONT, again and again", []kind{composed, degraded, passed}, false, (*world).freezeWeft},
		{"mongod: kill -9 and start, again and again", []kind{composed, degraded}, false, (*world).killMongod},
		{"mongod: SIGSTOP and SIGCONT", []kind{composed, degraded}, true, (*world).freezeMongod},
		{"mongod: not there when weft starts", []kind{composed, degraded, passed}, true, (*world).lateMongod},
		{"mongod: a replica set without a primary", []kind{composed, degraded}, true, (*world).withoutPrimary},
		{"legacy service: kill -9 and start, again and again", []kind{composed, degraded, detail}, false, (*world).killLegacy},
		{"legacy service: SIGSTOP and SIGCONT", []kind{composed, degraded, detail}, false, (*world).freezeLegacy},
	}
}

// run plays the scenarios and prints a row about each. It returns how many answers were wrong.
func run(ctx context.Context, o options, out io.Writer) (total int, err error) {
	for _, path := range []*string{&o.weft, &o.legacy} { // processes work in a folder of their own
		if *path, err = filepath.Abs(*path); err != nil {
			return 0, err
		}
	}
	w := &world{options: o}
	defer func() { err = errors.Join(err, w.stop()) }()
	if err := w.start(ctx); err != nil {
		return 0, err
	}
	fmt.Fprintln(out, "| scenario | requests | composed | degraded | passed | 503 detail | wrong | slowest | whole again with |")
	fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, s := range scenarios() {
		if !strings.Contains(s.name, o.only) {
			continue
		}
		clients := o.clients
		if s.many {
			clients = max(clients, 200)
		}
		c := w.crowd(ctx, clients, s.allowed...)
		err := s.trouble(w, ctx)
		c.leave()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return total, fmt.Errorf("%s: %w", s.name, err)
		}
		again, err := w.recover(ctx)
		if err != nil {
			return total, fmt.Errorf("%s: %w", s.name, err)
		}
		if err := w.idle(ctx); err != nil {
			return total, fmt.Errorf("%s: %w", s.name, err)
		}
		requests := 0
		for _, n := range c.counts {
			requests += n
		}
		fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %d | %d | %.1f s | %s |\n", s.name, requests, c.counts[composed], c.counts[degraded],
			c.counts[passed], c.counts[detail], c.counts[wrong], c.slowest.Seconds(), again)
		for _, w := range c.wrongs {
			fmt.Fprintln(out, "wrong:", w)
		}
		total += c.counts[wrong]
	}
	return total, nil
}

// recover asks, one after the other, until a composite is whole, and says how many requests that took. It does not
// restart anything.
func (w *world) recover(ctx context.Context) (string, error) {
	client := newClient(false)
	defer client.CloseIdleConnections()
	const patience = 20
	var what string
	for n := 1; n <= patience; n++ {
		var k kind
		if k, what = w.ask(ctx, client, n, false); k == composed {
			if n == 1 {
				return "the next request", nil
			}
			return fmt.Sprintf("%d requests", n), nil
		}
	}
	return "", fmt.Errorf("not whole again after %d requests: %s", patience, what)
}

// pause lasts up to twice as long as it says.
func pause(ctx context.Context, about time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(rand.N(2 * about)):
	}
}

// again repeats a step for as long as a scenario goes on, at least once.
func (w *world) again(ctx context.Context, step func() error) error {
	for end := time.Now().Add(w.length); ; {
		if err := step(); err != nil {
			return err
		}
		if ctx.Err() != nil || time.Now().After(end) {
			return nil
		}
	}
}

func (w *world) calm(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case <-time.After(w.length):
	}
	return nil
}

func (w *world) killWeft(ctx context.Context) error {
	return w.again(ctx, func() error {
		pause(ctx, 200*time.Millisecond)
		if err := w.weft.Kill(); err != nil {
			return err
		}
		pause(ctx, 50*time.Millisecond)
		return w.startWeft(ctx)
	})
}

func (w *world) stopWeft(ctx context.Context) error {
	return w.again(ctx, func() error {
		pause(ctx, 200*time.Millisecond)
		if err := w.weft.Stop(20 * time.Second); err != nil {
			return err
		}
		if err := w.weft.Err(); err != nil {
			return w.weft.Ended()
		}
		return w.startWeft(ctx)
	})
}

func (w *world) freezeWeft(ctx context.Context) error {
	return w.again(ctx, func() error {
		pause(ctx, 500*time.Millisecond)
		if err := w.weft.Freeze(); err != nil {
			return err
		}
		pause(ctx, 1500*time.Millisecond)
		return w.weft.Signal(syscall.SIGCONT)
	})
}

func (w *world) killMongod(ctx context.Context) error {
	return w.again(ctx, func() error {
		pause(ctx, 2*time.Second)
		if err := w.mongod.Kill(); err != nil {
			return err
		}
		pause(ctx, time.Second)
		if err := w.startMongod(ctx); err != nil {
			return err
		}
		return w.awaitPrimary(ctx)
	})
}

func (w *world) freezeMongod(ctx context.Context) error {
	pause(ctx, time.Second)
	if err := w.mongod.Freeze(); err != nil {
		return err
	}
	_ = w.calm(ctx)
	return w.mongod.Signal(syscall.SIGCONT)
}

func (w *world) lateMongod(ctx context.Context) error {
	for _, p := range []interface{ Kill() error }{w.mongod, w.weft} {
		if err := p.Kill(); err != nil {
			return err
		}
	}
	if err := w.startWeft(ctx); err != nil {
		return err
	}
	_ = w.calm(ctx)
	if err := w.startMongod(ctx); err != nil {
		return err
	}
	return w.awaitPrimary(ctx)
}

// withoutPrimary lets the only member step down and stay down.
func (w *world) withoutPrimary(ctx context.Context) error {
	pause(ctx, time.Second)
	if err := w.admin(ctx, bson.D{{Key: "replSetStepDown", Value: 3600}, {Key: "force", Value: true}}); err != nil {
		return err
	}
	_ = w.calm(ctx)
	if err := w.admin(ctx, bson.D{{Key: "replSetFreeze", Value: 0}}); err != nil {
		return err
	}
	return w.awaitPrimary(ctx)
}

func (w *world) awaitPrimary(ctx context.Context) error {
	return w.mongod.AwaitReady(ctx, func(ctx context.Context) error {
		// Only a primary takes it.
		return w.admin(ctx, bson.D{{Key: "appendOplogNote", Value: 1}, {Key: "data", Value: bson.D{{Key: "weft", Value: "chaos"}}}})
	})
}

func (w *world) killLegacy(ctx context.Context) error {
	return w.again(ctx, func() error {
		pause(ctx, 200*time.Millisecond)
		if err := w.legacy.Kill(); err != nil {
			return err
		}
		pause(ctx, 50*time.Millisecond)
		return w.startLegacy(ctx)
	})
}

func (w *world) freezeLegacy(ctx context.Context) error {
	return w.again(ctx, func() error {
		pause(ctx, 500*time.Millisecond)
		if err := w.legacy.Freeze(); err != nil {
			return err
		}
		pause(ctx, 4*time.Second)
		return w.legacy.Signal(syscall.SIGCONT)
	})
}
