package enrich

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// maxBatch is the maximum number of keys of a command: enough for any load, and few enough that documents of usual
	// size fit in one reply message.
	maxBatch = 256

	// maxCommandTime is the timeout of a command, whether or not callers still wait. A command is not canceled when its
	// callers leave: drivers close the connection of a canceled command, and opening another one costs more than reading
	// the reply.
	maxCommandTime = 30 * time.Second

	// minOverdue is the shortest time after which a command is overdue; see [batch.overdueAfter].
	minOverdue = 100 * time.Millisecond

	// maxHeld is the maximum number of held commands (see [batch.isHeld]) that continue, without retries. Each uses a
	// connection: together with maxRetries, they leave some of the at most 100 connections that drivers open.
	maxHeld = 16
)

// Batch returns a Store that coalesces concurrent reads. A read with one key joins a command with the keys of other
// reads of the same source; a read with several keys is a separate command. The number of concurrent commands depends
// on the round trip to the database; see [pace].
//
// Batching does not change the Extension of a key: if a command for several keys fails, or takes much longer than
// usual, its keys are retried one by one. A caller whose ctx ends does not affect the others.
func Batch(store Store) Store { return &batch{store: store, groups: map[groupKey]*group{}} }

type batch struct {
	store Store

	mu      sync.Mutex // guards the fields below, and the fields of groups and lookups
	pace    pace
	groups  map[groupKey]*group // with waiting keys or running commands
	retries retries

	overdue  []*command    // overdue commands, without retries; the oldest first
	answered time.Time     // start of the newest command that the database has answered
	typical  time.Duration // moving average of the duration of commands; without retries, which wait for connections
}

// command is a command to the database.
type command struct {
	began     time.Time
	cancel    context.CancelFunc
	isOverdue bool
	hasEnded  bool
}

// groupKey identifies keys that one command can read: they differ only in their last value.
type groupKey struct {
	source sourceID
	fixed  string // the other values
}

// group is the reads of one groupKey.
type group struct {
	groupKey
	src       *Source   // any of those with the same identity
	waiting   []*lookup // in the order of their arrival
	scheduled bool      // a command will start that reads the waiting keys
	inFlight  int       // scheduled and running commands, without overdue ones
	overdue   int       // overdue commands

	full time.Time // when the token bucket of the pace is full
}

// lookup is a key that callers wait for.
type lookup struct {
	key     Key
	callers int       // number of callers that wait
	left    time.Time // when the last caller left
	settled bool
	done    chan struct{} // closed when the lookup is settled: ext is set
	ext     Extension
}

// Find implements [Store].
func (b *batch) Find(ctx context.Context, src *Source, keys []Key) []Extension {
	lookups := make([]*lookup, len(keys))
	if len(keys) == 1 {
		lookups[0] = b.join(src, keys[0])
	} else {
		for i, key := range keys {
			lookups[i] = newLookup(key)
		}
		b.startList(src, lookups)
	}
	found := make([]Extension, len(keys))
	for i, l := range lookups {
		select {
		case <-l.done:
			found[i] = l.ext
		case <-ctx.Done(): // the others may be settled
			found[i] = b.release(ctx, l)
		}
	}
	return found
}

// startList starts the command of a read with several keys. If many commands are overdue, the keys are read one by one,
// like those of an overdue command: the number of such reads is limited.
func (b *batch) startList(src *Source, lookups []*lookup) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.overdue) >= maxRetries {
		b.retry(src, lookups...)
		return
	}
	go b.command(&group{src: src, inFlight: 1}, lookups)
}

// release removes a caller whose ctx has ended from a lookup, and returns the Extension for the caller. A running
// command continues.
func (b *batch) release(ctx context.Context, l *lookup) Extension {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.settled {
		return l.ext
	}
	l.callers--
	l.left = time.Now()
	return Extension{Err: context.Cause(ctx)}
}

func newLookup(key Key) *lookup { return &lookup{key: key, callers: 1, done: make(chan struct{})} }

// join adds a key to the next command of its group.
func (b *batch) join(src *Source, key Key) *lookup {
	name := groupKey{src.identity(), key.Prefix()}
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[name]
	if g == nil {
		g = &group{groupKey: name, src: src}
		b.groups[name] = g
	}
	for _, l := range g.waiting {
		if l.callers > 0 && slices.Equal(l.key, key) {
			l.callers++
			return l
		}
	}
	l := newLookup(key)
	if g.overdue > 0 { // a command with a held key would delay its other keys
		b.retry(g.src, l)
		return l
	}
	g.waiting = append(g.waiting, l)
	b.schedule(g)
	return l
}

// schedule starts the next command of a group, immediately or as soon as the pace allows. If too many commands are
// running, the end of one of them calls it again. b.mu is locked.
func (b *batch) schedule(g *group) {
	if g.scheduled || len(g.waiting) == 0 {
		return
	}
	awaited := g.src.awaited.value()
	if g.inFlight >= b.pace.limit(awaited) {
		return
	}
	var wait time.Duration
	wait, g.full = b.pace.reserve(time.Now(), g.full, awaited)
	g.scheduled = true
	g.inFlight++
	if wait > 0 {
		time.AfterFunc(wait, func() { b.start(g) })
	} else {
		go b.start(g)
	}
}

// start runs a command with all waiting keys, including those that arrived after it was scheduled.
func (b *batch) start(g *group) {
	runtime.Gosched() // other runnable exchanges may add keys
	b.mu.Lock()
	lookups := g.take()
	g.scheduled = false
	b.schedule(g)
	b.mu.Unlock()
	b.command(g, lookups)
}

// take removes and returns the lookups of the next command. It drops those without callers.
func (g *group) take() (lookups []*lookup) {
	rest := g.waiting[:0]
	for _, l := range g.waiting {
		switch {
		case l.callers == 0:
		case len(lookups) < maxBatch:
			lookups = append(lookups, l)
		default:
			rest = append(rest, l)
		}
	}
	clear(g.waiting[len(rest):])
	g.waiting = rest
	return lookups
}

// command reads the keys of lookups and settles them. It counts in g.inFlight until it ends or is overdue.
func (b *batch) command(g *group, lookups []*lookup) {
	ctx, cancel := context.WithTimeout(context.Background(), maxCommandTime)
	defer cancel()
	c := &command{began: time.Now(), cancel: cancel}
	b.mu.Lock()
	overdue := time.AfterFunc(b.overdueAfter(), func() { b.markOverdue(g, c, lookups) })
	b.mu.Unlock()
	found := b.read(ctx, g.src, lookups)
	took := time.Since(c.began)
	err := readError(found)
	settles := err == nil || len(lookups) == 1

	b.mu.Lock()
	defer b.mu.Unlock()
	overdue.Stop()
	c.hasEnded = true // the timer may have fired already
	if settles {
		settle(lookups, found)
	} else if !c.isOverdue {
		go b.retryFailed(c, g.src, lookups, err)
	}
	if c.isOverdue {
		b.overdue = slices.DeleteFunc(b.overdue, func(other *command) bool { return other == c })
		g.overdue--
	} else {
		g.inFlight--
	}
	if err == nil && len(lookups) > 0 {
		b.observe(c, took)
		if b.typical == 0 {
			b.typical = took
		}
		b.typical += (min(took, b.overdueAfter()) - b.typical) / 8
	}
	b.next(g)
}

// markOverdue retries the keys of an overdue command, and allows other commands of its group to start.
func (b *batch) markOverdue(g *group, c *command, lookups []*lookup) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.hasEnded {
		return
	}
	c.isOverdue = true
	b.overdue = append(b.overdue, c)
	g.overdue++
	g.inFlight--
	b.next(g)
	if len(lookups) > 1 {
		b.retry(g.src, lookups...)
	}
}

// observe records a command that the database has answered. b.mu is locked.
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

// overdueAfter returns the time after which a command is overdue: other keys must not wait for a server that does not
// respond.
func (b *batch) overdueAfter() time.Duration { return max(minOverdue, 4*b.typical) }

// isHeld reports whether a command is overdue although the database has answered a later one: part of the database,
// such as a shard, does not respond. If the entire database does not respond, no command is held.
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

// read reads the keys of lookups.
func (b *batch) read(ctx context.Context, src *Source, lookups []*lookup) []Extension {
	if len(lookups) == 0 {
		return nil // all callers have left
	}
	keys := make([]Key, len(lookups))
	for i, l := range lookups {
		keys[i] = l.key
	}
	return find(ctx, b.store, src, keys)
}

// readError returns the error of a failed command, which is the same for all its keys. Missing and invalid documents
// are not errors of the command.
func readError(found []Extension) error {
	for _, ext := range found {
		if ext.IsAnswer() {
			return nil
		}
	}
	if len(found) == 0 {
		return nil
	}
	return found[0].Err
}

// settle sets the extensions of lookups that are not settled. b.mu is locked.
func settle(lookups []*lookup, found []Extension) {
	for i, l := range lookups {
		if !l.settled {
			l.settled, l.ext = true, found[i]
			close(l.done)
		}
	}
}
