package enrich

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// maxBatch is the largest number of keys of one command: enough for any load, and so few that the reply, with
	// documents of a usual size, comes in one message.
	maxBatch = 256

	// maxCommandTime bounds a command that nobody waits for any more. Such a command is not canceled: drivers close the
	// connection of a canceled command, and to open another one costs more than to read the reply.
	maxCommandTime = 30 * time.Second

	// minOverdue is the shortest time after which a command is overdue; see [batch.overdueAfter].
	minOverdue = 100 * time.Millisecond

	// maxHeld is the largest number of commands that are held and go on, without second tries; see [batch.isHeld]. Each
	// has a connection: with maxRetries, they leave some of the 100 that drivers open at most.
	maxHeld = 16
)

// Batch returns a Store that reads keys of the same source together. A read with one key joins a command with the keys
// that others ask for at the same time; a read with several keys is a command of its own. How many commands are under way
// at the same time depends on the round trip to the database; see [pace].
//
// A key gets the same Extension among others as alone: if a command for several keys fails, or takes far longer than
// usual, its keys are asked for one by one. A caller that leaves, since its ctx ends, takes nothing from others.
func Batch(store Store) Store { return &batch{store: store, groups: map[groupKey]*group{}} }

type batch struct {
	store Store

	mu      sync.Mutex // guards what follows, and the fields of groups and asks
	pace    pace
	groups  map[groupKey]*group // those with keys that wait or commands that are under way
	retries retries

	overdue  []*command    // first commands of their keys that are overdue, the oldest first
	answered time.Time     // when the newest command began that the database has answered
	typical  time.Duration // moving average of what first commands take; second tries wait for connections
}

// command is a command that is under way.
type command struct {
	began  time.Time
	cancel context.CancelFunc
}

// groupKey identifies keys that one command can ask for: they differ in their last value only.
type groupKey struct {
	src   *Source
	fixed string // the other values
}

// group is the reads of one groupKey.
type group struct {
	groupKey
	waiting   []*ask // in the order of their arrival
	scheduled bool   // a command will start that takes what waits
	inFlight  int    // commands that are scheduled or under way, without those that are overdue
	overdue   int    // commands that are overdue

	full time.Time // when the token bucket of the pace is full
}

// ask is a key that callers wait for.
type ask struct {
	key     Key
	callers int       // that wait
	left    time.Time // when the last caller left
	settled bool
	done    chan struct{} // closed when the ask is settled: ext is set
	ext     Extension
}

// Find implements [Store].
func (b *batch) Find(ctx context.Context, src *Source, keys []Key) []Extension {
	asks := make([]*ask, len(keys))
	if len(keys) == 1 {
		asks[0] = b.enlist(src, keys[0])
	} else {
		for i, key := range keys {
			asks[i] = newAsk(key)
		}
		go b.command(&group{groupKey: groupKey{src: src}, inFlight: 1}, asks)
	}
	found := make([]Extension, len(keys))
	for i, a := range asks {
		select {
		case <-a.done:
			found[i] = a.ext
		case <-ctx.Done(): // the next ones may be there
			found[i] = b.leave(ctx, a)
		}
	}
	return found
}

// leave takes a caller away from an ask. It returns the Extension that the caller gets. A command that is under way goes on.
func (b *batch) leave(ctx context.Context, a *ask) Extension {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.settled {
		return a.ext
	}
	a.callers--
	a.left = time.Now()
	return Extension{Err: ctx.Err()}
}

func newAsk(key Key) *ask { return &ask{key: key, callers: 1, done: make(chan struct{})} }

// enlist has a key read by the next command of its group.
func (b *batch) enlist(src *Source, key Key) *ask {
	name := groupKey{src, fixedPart(key)}
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[name]
	if g == nil {
		g = &group{groupKey: name}
		b.groups[name] = g
	}
	for _, a := range g.waiting {
		if a.callers > 0 && slices.Equal(a.key, key) {
			a.callers++
			return a
		}
	}
	a := newAsk(key)
	if g.overdue > 0 { // a key that is never answered would hold up the others of its command
		b.retry(g.src, a)
		return a
	}
	g.waiting = append(g.waiting, a)
	b.schedule(g)
	return a
}

// schedule has the next command of a group start, now or as soon as the pace allows. If too many are under way, the end of
// one of them calls it again. b.mu is locked.
func (b *batch) schedule(g *group) {
	if g.scheduled || len(g.waiting) == 0 || g.inFlight >= b.pace.limit() {
		return
	}
	var wait time.Duration
	wait, g.full = b.pace.take(time.Now(), g.full)
	g.scheduled = true
	g.inFlight++
	if wait > 0 {
		time.AfterFunc(wait, func() { b.start(g) })
	} else {
		go b.start(g)
	}
}

// start runs a command with all keys that wait: those that arrived until now, and not only those that were there when the
// command was scheduled.
func (b *batch) start(g *group) {
	runtime.Gosched() // exchanges that can run now may have keys, too
	b.mu.Lock()
	asks := g.take()
	g.scheduled = false
	b.schedule(g)
	b.mu.Unlock()
	b.command(g, asks)
}

// take takes the asks of the next command, without those that nobody waits for any more.
func (g *group) take() (asks []*ask) {
	rest := g.waiting[:0]
	for _, a := range g.waiting {
		switch {
		case a.callers == 0:
		case len(asks) < maxBatch:
			asks = append(asks, a)
		default:
			rest = append(rest, a)
		}
	}
	clear(g.waiting[len(rest):])
	g.waiting = rest
	return asks
}

// command reads the keys of asks and settles them. Until it ends or is overdue, it is one of g.inFlight.
func (b *batch) command(g *group, asks []*ask) {
	ctx, cancel := context.WithTimeout(context.Background(), maxCommandTime)
	defer cancel()
	c := &command{began: time.Now(), cancel: cancel}
	isOverdue := false
	b.mu.Lock()
	overdue := time.AfterFunc(b.overdueAfter(), func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		isOverdue = true
		b.overdue = append(b.overdue, c)
		g.overdue++
		g.inFlight--
		b.next(g)
		if len(asks) > 1 {
			b.retry(g.src, asks...)
		}
	})
	b.mu.Unlock()
	found := b.read(ctx, g.src, asks)
	took := time.Since(c.began)
	err := readError(found)
	settles := err == nil || len(asks) == 1

	b.mu.Lock()
	defer b.mu.Unlock()
	overdue.Stop()
	if settles {
		settle(asks, found)
	} else if !isOverdue {
		go b.retryFailed(c, g.src, asks, err)
	}
	if isOverdue {
		b.overdue = slices.DeleteFunc(b.overdue, func(other *command) bool { return other == c })
		g.overdue--
	} else {
		g.inFlight--
	}
	if err == nil && len(asks) > 0 {
		b.observe(c, took)
		b.typical += (min(took, b.overdueAfter()) - b.typical) / 8
	}
	b.next(g)
}

// observe takes note of a command that the database has answered. b.mu is locked.
func (b *batch) observe(c *command, took time.Duration) {
	b.pace.observe(c.began.Add(took), took)
	if c.began.After(b.answered) {
		b.answered = c.began
	}
	for len(b.overdue) > maxHeld && b.isHeld(b.overdue[0]) {
		b.overdue[0].cancel()
		b.overdue = slices.Delete(b.overdue, 0, 1)
	}
}

// overdueAfter returns the time after which a command counts as overdue. A server that does not answer holds it up, and
// others should not wait for that.
func (b *batch) overdueAfter() time.Duration { return max(minOverdue, 4*b.typical) }

// isHeld reports whether a command is overdue although the database has answered one that began later: a part of the
// database, such as a shard, does not answer. If all of it does not, no command is held.
func (b *batch) isHeld(c *command) bool {
	return time.Since(c.began) >= b.overdueAfter() && !c.began.After(b.answered)
}

// next schedules the next command of a group, or drops the group if it is idle. b.mu is locked.
func (b *batch) next(g *group) {
	b.schedule(g)
	if g.inFlight == 0 && g.overdue == 0 && b.groups[g.groupKey] == g {
		delete(b.groups, g.groupKey)
	}
}

// read reads the keys of asks.
func (b *batch) read(ctx context.Context, src *Source, asks []*ask) []Extension {
	if len(asks) == 0 {
		return nil // all callers have left
	}
	keys := make([]Key, len(asks))
	for i, a := range asks {
		keys[i] = a.key
	}
	return find(ctx, b.store, src, keys)
}

// readError returns the error of a command that failed, which all its keys have. Documents that do not exist or do not fit
// are none.
func readError(found []Extension) error {
	for _, ext := range found {
		if ext.Err == nil || errors.Is(ext.Err, ErrNotFound) || errors.Is(ext.Err, ErrWrongType) {
			return nil
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[0].Err
}

// settle gives asks their extensions, unless they have one. b.mu is locked.
func settle(asks []*ask, found []Extension) {
	for i, a := range asks {
		if !a.settled {
			a.settled, a.ext = true, found[i]
			close(a.done)
		}
	}
}

// fixedPart spells all values of a key but the last.
func fixedPart(key Key) string {
	if len(key) == 1 {
		return ""
	}
	var b strings.Builder
	for _, v := range key[:len(key)-1] {
		text := v.String()
		b.WriteByte(byte(v.Type))
		b.WriteString(strconv.Itoa(len(text))) // a text may contain any byte
		b.WriteByte(':')
		b.WriteString(text)
	}
	return b.String()
}
