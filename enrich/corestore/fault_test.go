package corestore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sony/gobreaker/v2"

	"weft/test/harness"
)

// process is a Guard of a Redis, as one process has it.
type process struct {
	*Guard
	changed chan error
}

// startProcess starts a process whose calls of the store are limited by budget. All processes have one clock.
func startProcess(t *testing.T, server *harness.Redis, budget time.Duration) *process {
	t.Helper()
	p := &process{changed: make(chan error, 1000)}
	p.Guard = newGuard(open(t, server.URL()), func(err error) { p.changed <- err }, limits{budget, budget, 0})
	t.Cleanup(p.Close)
	return p
}

// expectOpen calls the store until the circuit is open.
func (p *process) expectOpen(t *testing.T) {
	t.Helper()
	for !p.Stats().Open {
		_, _ = p.Get(t.Context(), "k")
	}
	if err := <-p.changed; err == nil {
		t.Error("the circuit is open without an error")
	}
	if _, err := p.Get(t.Context(), "k"); err == nil {
		t.Error("no error while the circuit is open")
	}
}

// expectClosed waits until the circuit is closed.
func (p *process) expectClosed(t *testing.T) {
	t.Helper()
	if err := <-p.changed; err != nil {
		t.Error(err)
	}
}

// TestKilledRedis: the circuit opens, and closes when the server is back.
func TestKilledRedis(t *testing.T) {
	server := startRedis(t)
	p := startProcess(t, server, time.Minute)
	set(t, p, "k", []byte("v"))
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	p.expectOpen(t)
	restart(t, server)
	p.expectClosed(t)
	expect(t, p, "k", "")
	set(t, p, "k", []byte("v"))
	expect(t, p, "k", "v")
}

func restart(t *testing.T, server *harness.Redis) {
	t.Helper()
	again, err := harness.StartRedis(t.Context(), server.Options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Kill() })
}

// TestFrozenRedis: calls return although the server never responds.
func TestFrozenRedis(t *testing.T) {
	server := startRedis(t)
	p := startProcess(t, server, time.Second)
	set(t, p, "k", []byte("1"))
	set(t, p, "other", []byte("1"))
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Get(t.Context(), "k"); err == nil {
		t.Error("no error")
	}
	update := func() error {
		return p.Update(t.Context(), "k", func([]byte) ([]byte, time.Duration) { return []byte("2"), time.Hour })
	}
	if err := update(); err == nil {
		t.Error("no error")
	}
	p.expectOpen(t)
	if err := update(); !errors.Is(err, gobreaker.ErrOpenState) {
		t.Error(err)
	}
	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.expectClosed(t)
	expect(t, p, "k", "") // "1" is older than an Update
	expect(t, p, "other", "1")
}

// TestFullRedis: a value that the server rejects is an error, and the previous one is not used.
func TestFullRedis(t *testing.T) {
	server := startRedis(t)
	p := startProcess(t, server, time.Minute)
	set(t, p, "k", []byte("1"))
	run(t, server, "CONFIG", "SET", "maxmemory", 1)
	err := p.Update(t.Context(), "k", func([]byte) ([]byte, time.Duration) { return []byte("2"), time.Hour })
	if err == nil || !strings.Contains(err.Error(), "OOM") {
		t.Error(err)
	}
	expect(t, p, "k", "")
	set(t, startProcess(t, server, time.Minute), "k", nil) // a full server still removes values
	run(t, server, "CONFIG", "SET", "maxmemory", 0)
	harness.Eventually(t, "the server is used again", func() bool {
		return p.Update(t.Context(), "k", func([]byte) ([]byte, time.Duration) { return []byte("3"), time.Hour }) == nil
	})
	expect(t, p, "k", "3")
}

// TestLostUpdates: a server that restarts with values of an earlier time has outdated ones, which are not used.
func TestLostUpdates(t *testing.T) {
	server := startRedis(t)
	p := startProcess(t, server, time.Minute)
	set(t, p, "k", []byte("1"))
	set(t, p, "removed", []byte("1"))
	run(t, server, "SAVE")
	set(t, p, "k", []byte("2"))
	set(t, p, "removed", nil)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	restart(t, server) // loads what SAVE wrote
	expect(t, open(t, server.URL()), "missing", "")
	if got, err := open(t, server.URL()).Get(t.Context(), "k"); err != nil || !strings.HasSuffix(string(got), "1") {
		t.Fatalf("%q, %v", got, err)
	}
	for _, key := range []string{"k", "removed"} {
		harness.Eventually(t, "a Get", func() bool {
			value, err := p.Get(t.Context(), key)
			if value != nil {
				t.Errorf("%s: %q", key, value)
			}
			return err == nil
		})
	}
}

// TestFaultsUnderLoad kills, freezes, flushes and fills a Redis while processes use it. After an Update of a key,
// whether or not it failed, its process gets no value of an earlier one.
func TestFaultsUnderLoad(t *testing.T) {
	server := startRedis(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	var keys []*history
	for n := range 2 {
		p := startProcess(t, server, 200*time.Millisecond)
		for i := range 4 {
			h := &history{Guard: p.Guard, key: fmt.Sprintf("process %d, key %d", n, i)}
			keys = append(keys, h)
			running.Go(func() { h.write(ctx) })
			running.Go(func() { h.read(ctx, t) })
			running.Go(func() { h.read(ctx, t) })
		}
	}
	// progress waits until each key has had n values since.
	progress := func(n int) {
		t.Helper()
		for _, h := range keys {
			goal := h.hits.Load() + int64(n)
			harness.Eventually(t, "values of "+h.key, func() bool { return h.hits.Load() >= goal })
		}
	}
	progress(10)
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	for _, h := range keys {
		harness.Eventually(t, "the circuit is open", func() bool { return h.Stats().Open })
	}
	if err := server.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	progress(10)
	run(t, server, "FLUSHALL")
	progress(10)
	run(t, server, "SAVE")
	progress(10)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	again, err := harness.StartRedis(t.Context(), server.Options) // with the values of SAVE
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Kill() })
	server = again
	progress(10)
	failed := keys[0].Stats().Errors
	run(t, server, "CONFIG", "SET", "maxmemory", 1)
	harness.Eventually(t, "an error of the full server", func() bool { return keys[0].Stats().Errors > failed })
	run(t, server, "CONFIG", "SET", "maxmemory", 0)
	progress(10)
}

// history is a key whose values one goroutine writes: its name and a number that grows.
type history struct {
	*Guard
	key            string
	started, ended atomic.Int64 // number of the last Update that has started and ended
	hits           atomic.Int64
}

// write writes values until ctx ends. Each fifth Update removes the value.
func (h *history) write(ctx context.Context) {
	for n := int64(1); ctx.Err() == nil; n++ {
		h.started.Store(n)
		_ = h.Update(context.Background(), h.key, func([]byte) ([]byte, time.Duration) {
			if n%5 == 0 {
				return nil, 0
			}
			return fmt.Appendf(nil, "%s|%d", h.key, n), time.Hour
		})
		h.ended.Store(n)
	}
}

// read reads values until ctx ends.
func (h *history) read(ctx context.Context, t *testing.T) {
	for ctx.Err() == nil {
		least := h.ended.Load()
		value, err := h.Get(context.Background(), h.key)
		if err != nil || value == nil {
			continue
		}
		h.hits.Add(1)
		key, number, _ := strings.Cut(string(value), "|")
		var n int64
		if _, err := fmt.Sscan(number, &n); err != nil || key != h.key || n < least || n > h.started.Load() || n%5 == 0 {
			t.Errorf("%s: %q after the Update number %d", h.key, value, least)
		}
	}
}
