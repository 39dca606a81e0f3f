package mongostore

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"weft/enrich"
)

// maxBatch is how many keys go into one command: enough to carry any load, and so few that the answer, of documents of a
// usual size, comes in one message.
const maxBatch = 256

// batcher gathers the keys that are asked for while a command is under way, and asks for them with the next one (group
// commit). There is no timer: a key that comes alone waits for nothing. Keys that cannot go together, since they differ in
// more than one condition, do not wait for each other; nor does anybody wait for a command that a caller has given up on.
type batcher struct {
	read func(ctx context.Context, keys []enrich.Key) []enrich.Extension

	mu     sync.Mutex
	groups map[string]*group // those with a command under way, by what groupOf says
}

// group is what waits for a command to end.
type group struct {
	name    string
	waiting []*ask // in the order in which they came
}

// command is one that is under way.
type command struct {
	cancel  context.CancelFunc
	wanted  int  // asks of it that somebody waits for; it is cancelled when there are none
	givenUp bool // a caller has: it may be stuck, and the group goes on without it
}

// ask is a key that is asked for, by one caller or by several at once. What is not said otherwise is under the lock of the
// batcher.
type ask struct {
	key     enrich.Key // never changes
	group   *group     // never changes
	command *command   // nil while it waits for one
	callers int        // who still wait
	found   []func(enrich.Extension)
	done    bool
}

// find has found called with the extension of a key. Giving up takes nothing from others; when all callers of a command have
// given up, it is cancelled.
func (b *batcher) find(key enrich.Key, found func(enrich.Extension)) (giveUp func()) {
	a := b.enlist(key, found)
	return func() { b.leave(a) }
}

// enlist has a key asked for: now, with the next command of its group, or with one that is waiting to.
func (b *batcher) enlist(key enrich.Key, found func(enrich.Extension)) *ask {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := groupOf(key)
	g := b.groups[name]
	isFirst := g == nil
	if isFirst {
		if b.groups == nil {
			b.groups = map[string]*group{}
		}
		g = &group{name: name}
		b.groups[name] = g
	}
	for _, other := range g.waiting {
		if other.callers > 0 && equal(other.key, key) {
			other.callers++
			other.found = append(other.found, found)
			return other
		}
	}
	a := &ask{key: key, group: g, callers: 1, found: []func(enrich.Extension){found}}
	g.waiting = append(g.waiting, a)
	if isFirst {
		b.next(g)
	}
	return a
}

// leave takes a caller away. If the command of its key is under way, the rest of the group goes on without that.
func (b *batcher) leave(a *ask) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.done {
		return
	}
	a.callers--
	c := a.command
	if c == nil {
		return // it will not be asked for
	}
	if a.callers == 0 {
		if c.wanted--; c.wanted == 0 {
			c.cancel()
		}
	}
	if !c.givenUp {
		c.givenUp = true
		b.next(a.group)
	}
}

// next has a group go on without the command that was under way, if there is one. The lock is held.
func (b *batcher) next(g *group) {
	if len(g.waiting) == 0 {
		delete(b.groups, g.name)
		return
	}
	go func() {
		for b.command(g) {
		}
	}()
}

// command asks for what waits in a group. That is settled when this goroutine runs, and not when it was started: what comes in
// the same moment goes along. It reports whether to go on with what has come since; if not, the group is over, or somebody else
// goes on with it.
func (b *batcher) command(g *group) (more bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.mu.Lock()
	batch := g.take()
	c := &command{cancel: cancel, wanted: len(batch)}
	keys := make([]enrich.Key, len(batch))
	for i, a := range batch {
		a.command, keys[i] = c, a.key
	}
	if len(batch) == 0 { // all have given up, or there was nothing more
		delete(b.groups, g.name)
	}
	b.mu.Unlock()
	if len(batch) == 0 {
		return false
	}
	found := b.read(ctx, keys)
	b.mu.Lock()
	for _, a := range batch {
		a.done = true // whoever leaves from now on has been answered
	}
	more = !c.givenUp
	c.givenUp = true
	b.mu.Unlock()
	for i, a := range batch {
		for _, tell := range a.found {
			tell(found[i])
		}
	}
	return more
}

// take takes the asks for the next command, without those that nobody waits for any more.
func (g *group) take() (batch []*ask) {
	rest := g.waiting[:0]
	for _, a := range g.waiting {
		switch {
		case a.callers == 0:
		case len(batch) < maxBatch:
			batch = append(batch, a)
		default:
			rest = append(rest, a)
		}
	}
	clear(g.waiting[len(rest):])
	g.waiting = rest
	return batch
}

// groupOf names all of a key but its last value, in which keys of one command may differ.
func groupOf(key enrich.Key) string {
	if len(key) == 1 {
		return ""
	}
	var b strings.Builder
	for _, v := range key[:len(key)-1] {
		text := v.String()
		b.WriteByte(byte(v.Type))
		b.WriteString(strconv.Itoa(len(text))) // a text may have any byte
		b.WriteByte(':')
		b.WriteString(text)
	}
	return b.String()
}

func equal(a, b enrich.Key) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
