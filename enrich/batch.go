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
	ended    []*caller     // have all their extensions; unlock calls them
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
	callers []awaited // that wait
	left    time.Time // when the last caller left
	settled bool
	done    chan struct{} // closed when the lookup is settled
}

// caller is a call of Start.
type caller struct {
	lookups []*lookup   // by key
	found   []Extension // by key
	waits   int         // number of lookups that are not settled; 0 if the context has ended
	stop    func() bool // stops to wait for the end of the context
	done    func([]Extension)
}

// awaited is an extension that a caller waits for.
type awaited struct {
	by    *caller
	index int // in found
}

// Find implements [Store].
func (b *batch) Find(ctx context.Context, src *Source, keys []Key) []Extension {
	found := make(chan []Extension, 1)
	b.Start(ctx, src, keys, func(all []Extension) { found <- all })
	return <-found
}

// Start implements [Starter].
func (b *batch) Start(ctx context.Context, src *Source, keys []Key, done func([]Extension)) {
	c := &caller{lookups: make([]*lookup, len(keys)), found: make([]Extension, len(keys)), waits: len(keys), done: done}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(keys) == 1 {
		c.lookups[0] = b.join(src, keys[0], c)
	} else {
		for i, key := range keys {
			c.lookups[i] = newLookup(key, c, i)
		}
		b.startList(src, c.lookups)
	}
	c.stop = context.AfterFunc(ctx, func() { b.leave(ctx, c) }) // leave waits for b.mu
}

// startList starts the command of a read with several keys. If many commands are overdue, the keys are read one by one,
// like those of an overdue command: the number of such reads is limited. b.mu is locked.
func (b *batch) startList(src *Source, lookups []*lookup) {
	if len(b.overdue) >= maxRetries {
		b.retry(src, lookups...)
		return
	}
	go b.command(&group{src: src, inFlight: 1}, lookups)
}

// leave removes a caller whose ctx has ended from its lookups. Running commands continue.
func (b *batch) leave(ctx context.Context, c *caller) {
	b.mu.Lock()
	defer b.unlock()
	if c.waits == 0 {
		return
	}
	for i, l := range c.lookups {
		if !l.settled {
			c.found[i].Err = context.Cause(ctx)
			l.callers = slices.DeleteFunc(l.callers, func(a awaited) bool { return a.by == c })
			l.left = time.Now()
		}
	}
	c.waits = 0
	b.ended = append(b.ended, c)
}

// unlock unlocks b.mu, and calls the callers that have all their extensions.
func (b *batch) unlock() {
	ended := b.ended
	b.ended = nil
	b.mu.Unlock()
	for _, c := range ended {
		c.done(c.found)
	}
}

func newLookup(key Key, c *caller, index int) *lookup {
	return &lookup{key: key, callers: []awaited{{c, index}}, done: make(chan struct{})}
}

// join adds a key of a caller to the next command of its group. b.mu is locked.
func (b *batch) join(src *Source, key Key, c *caller) *lookup {
	name := groupKey{src.identity(), key.Prefix()}
	g := b.groups[name]
	if g == nil {
		g = &group{groupKey: name, src: src}
		b.groups[name] = g
	}
	for _, l := range g.waiting {
		if len(l.callers) > 0 && slices.Equal(l.key, key) {
			l.callers = append(l.callers, awaited{c, 0})
			return l
		}
	}
	l := newLookup(key, c, 0)
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
		case len(l.callers) == 0:
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
	defer b.unlock()
	overdue.Stop()
	c.hasEnded = true // the timer may have fired already
	if settles {
		b.settle(lookups, found)
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

// settle sets the extensions of lookups that are not settled. b.mu is locked; [batch.unlock] must unlock it.
func (b *batch) settle(lookups []*lookup, found []Extension) {
	for i, l := range lookups {
		if l.settled {
			continue
		}
		l.settled = true
		close(l.done)
		for _, a := range l.callers {
			a.by.found[a.index] = found[i]
			if a.by.waits--; a.by.waits == 0 {
				a.by.stop()
				b.ended = append(b.ended, a.by)
			}
		}
	}
}
