package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"weft/enrich"
)

// TestRandomInterleavings runs clients, writes, reports of changes, gaps, failures and pauses in random order against a
// model of the database, and checks each result: it is not older than the changes that were reported before the read
// began, and not older than the previous result for the same client. A result that replaces a failed read is not one
// whose change was reported. Some reads select a field, and some documents are invalid because of another field.
func TestRandomInterleavings(t *testing.T) {
	var sum Stats
	for seed := range uint64(400) {
		synctest.Test(t, func(t *testing.T) {
			m := newModel(t, seed)
			for range 300 {
				m.step()
			}
			m.finish()
			s := m.cache.Stats()
			if len(s) != 0 {
				t.Errorf("after Close: %+v", s)
			}
			sum.Hits += m.stats.Hits
			sum.Misses += m.stats.Misses
			sum.Bypassed += m.stats.Bypassed
			sum.Stale += m.stats.Stale
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%+v", sum)
	if sum.Hits < 1000 || sum.Misses < 1000 || sum.Bypassed < 1000 || sum.Stale < 100 {
		t.Errorf("too few of a kind: %+v", sum)
	}
}

const (
	modelDocuments = 4
	modelKeys      = 3
	modelClients   = 5
)

// modelDocument is a document of the model.
type modelDocument struct {
	key, commit int  // its key, and the write that changed it last
	isInvalid   bool // apart from its commit
}

// model is a database with one collection, the clients of a cache, and a stream of changes.
type model struct {
	t      *testing.T
	seed   uint64
	random *rand.Rand
	rule   *enrich.Rule
	cache  *Store
	to     enrich.Changes
	stats  Stats
	isDown bool // the cache knows that reads fail

	states   []map[int]modelDocument // after each write, by the number of the write
	writes   []int                   // the document of each write
	reported []bool                  // by write
	position int                     // number of the last write that was reported, or before which the stream began
	lookedUp int                     // number of the newest state of a reported document
	complete int                     // number of the last write whose effects were all reported
	readMin  int                     // reads that begin now have at least this state: reads are monotonic
	pending  []*pendingRead
	clients  [modelClients]*client
}

// client reads one key after the other.
type client struct {
	busy bool
	seen [modelKeys]int // by key: the number of a write whose result the client has seen, or a later one
}

// pendingRead is a read of the database that has not ended.
type pendingRead struct {
	src    *enrich.Source
	keys   []enrich.Key
	min    int // the oldest state that it may return
	answer chan []enrich.Extension
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t: t, seed: seed, random: rand.New(rand.NewPCG(22, seed)), states: []map[int]modelDocument{{}}, writes: []int{-1},
		reported: []bool{true},
		rule: selecting(&enrich.Source{
			Database: "d", Collection: "c", Fields: []enrich.Field{{Name: "id"}, {Name: "commit"}},
			Cache: &enrich.CachePolicy{MaxSize: 1 << 20, MaxAge: time.Minute, StaleIfError: time.Hour},
		}),
	}
	for i := range m.clients {
		m.clients[i] = &client{}
	}
	m.cache = New(m, func(ctx context.Context, _ []*enrich.Source, to enrich.Changes) {
		m.to = to
		<-ctx.Done()
	})
	m.cache.IsAvailable = func() bool { return !m.isDown }
	m.cache.Use([]*enrich.Rule{m.rule})
	synctest.Wait()
	return m
}

// Find implements [enrich.Store].
func (m *model) Find(_ context.Context, src *enrich.Source, keys []enrich.Key) []enrich.Extension {
	r := &pendingRead{src: src, keys: keys, min: max(m.readMin, m.position), answer: make(chan []enrich.Extension)}
	m.pending = append(m.pending, r)
	return <-r.answer
}

func (m *model) now() int { return len(m.states) - 1 }

// step does one random thing, and waits for its effects.
func (m *model) step() {
	switch m.random.IntN(17) {
	case 0, 1, 2:
		m.write()
	case 3, 4, 5, 6:
		m.startRead()
	case 7, 8, 9:
		m.endRead()
	case 10, 11:
		m.report()
	case 12:
		for m.position < m.now() {
			m.report()
		}
		m.to.Current(time.Now())
	case 13:
		time.Sleep(time.Duration(m.random.IntN(4000)) * time.Millisecond)
	case 14:
		if m.random.IntN(3) == 0 {
			time.Sleep(time.Duration(m.random.IntN(70)) * time.Second)
		}
	case 15:
		switch m.random.IntN(4) {
		case 0: // the stream ends
			m.to.Lost()
		case 1: // it cannot be resumed
			for n := m.complete + 1; n <= m.position; n++ {
				m.reported[n] = false // perhaps without a key that the document had in between
			}
			m.position, m.complete = m.now(), m.now()
			m.to.Begin()
		}
	case 16:
		m.isDown = m.random.IntN(4) == 0
	}
	synctest.Wait()
}

func (m *model) write() {
	state, id := maps.Clone(m.states[m.now()]), m.random.IntN(modelDocuments)
	if _, exists := state[id]; exists && m.random.IntN(3) == 0 {
		delete(state, id)
	} else {
		state[id] = modelDocument{m.random.IntN(modelKeys), len(m.states), m.random.IntN(4) == 0}
	}
	m.states, m.writes, m.reported = append(m.states, state), append(m.writes, id), append(m.reported, false)
}

// report reports the next change. The document that comes with it may be newer than the change.
func (m *model) report() {
	if m.position == m.now() {
		return
	}
	m.position++
	m.reported[m.position] = true
	id := m.writes[m.position]
	if m.random.IntN(2) == 0 {
		m.lookedUp = max(m.lookedUp, m.position+m.random.IntN(m.now()-m.position+1))
	}
	doc, exists := m.states[max(m.position, m.lookedUp)][id]
	if m.position >= m.lookedUp { // else the next change of the document also reports a key that it had in between
		m.complete = m.position
	}
	switch {
	case m.random.IntN(20) == 0:
		m.to.ChangeAny()
		return
	case exists:
		m.to.Match(m.rule.Sources[0], modelKey(doc.key))
	}
	m.to.Change(fmt.Sprint(id))
}

func modelKey(n int) enrich.Key { return enrich.Key{{Type: enrich.Int64, Int: int64(n)}} }

// result returns the result of a read of a key in a state: the first document, if there is one.
func (m *model) result(src *enrich.Source, state, key int) enrich.Extension {
	for id := range modelDocuments {
		doc, exists := m.states[state][id]
		if !exists || doc.key != key {
			continue
		}
		ext := enrich.Extension{ID: fmt.Sprint(id)}
		switch {
		case len(src.Fields) == 1:
			ext.JSON = fmt.Appendf(nil, `{"commit":%d}`, doc.commit)
		case doc.isInvalid:
			ext.Err = enrich.ErrWrongType
		default:
			ext.JSON = fmt.Appendf(nil, `{"id":%d,"commit":%d}`, id, doc.commit)
		}
		return ext
	}
	return enrich.Extension{Err: enrich.ErrNotFound}
}

// startRead makes an idle client read one key, or all.
func (m *model) startRead() {
	c := m.clients[m.random.IntN(modelClients)]
	if c.busy {
		return
	}
	c.busy = true
	keys := []int{m.random.IntN(modelKeys)}
	if m.random.IntN(5) == 0 {
		keys = m.random.Perm(modelKeys)
	}
	values := make([]enrich.Key, len(keys))
	for i, key := range keys {
		values[i] = modelKey(key)
	}
	complete, reported := m.complete, slices.Clone(m.reported[:m.complete+1])
	rule, _, _ := m.rule.Narrow([]string{"/", "/?fields=x.commit"}[m.random.IntN(2)])
	src := rule.Sources[0]
	go func() {
		found := m.cache.Find(m.t.Context(), src, values)
		for i, key := range keys {
			m.check(c, src, key, found[i], complete, reported)
		}
		c.busy = false
	}()
}

// check checks a result. complete and reported are those when the read began.
func (m *model) check(
	c *client, src *enrich.Source, key int, ext enrich.Extension, complete int, reported []bool,
) {
	if !ext.IsAnswer() {
		return
	}
	if (ext.Stale != nil) != (ext.Cache == enrich.CacheStale) {
		m.t.Errorf("status %q, stale %v", ext.Cache, ext.Stale)
	}
	oldest := max(complete, c.seen[key])
	switch {
	case ext.Stale != nil:
		oldest = 0
	case errors.Is(ext.Err, enrich.ErrWrongType): // no client sees an older document
		oldest = complete
	}
	for state := oldest; state <= m.now(); state++ {
		if !isSame(m.result(src, state, key), ext) || ext.Stale != nil && m.hasReportedChange(state, key, reported) {
			continue
		}
		if ext.Stale == nil {
			c.seen[key] = max(c.seen[key], state)
		}
		return
	}
	m.t.Errorf("seed %d, key %d: %s %s, %v is older than write %d, of %d (stale: %v)",
		m.seed, key, ext.Cache, ext.JSON, ext.Err, oldest, m.now(), ext.Stale)
}

// hasReportedChange reports whether the first change of a result after a state was reported.
func (m *model) hasReportedChange(state, key int, reported []bool) bool {
	for next := state + 1; next < len(reported); next++ {
		if whole := m.rule.Sources[0]; !isSame(m.result(whole, state, key), m.result(whole, next, key)) {
			return reported[next]
		}
	}
	return false
}

// endRead ends a read of the database, or lets it fail.
func (m *model) endRead() {
	if len(m.pending) == 0 {
		return
	}
	i := m.random.IntN(len(m.pending))
	r := m.pending[i]
	m.pending = append(m.pending[:i], m.pending[i+1:]...)
	state := r.min + m.random.IntN(m.now()-r.min+1)
	fails := m.random.IntN(6) == 0
	found := make([]enrich.Extension, len(r.keys))
	for i, key := range r.keys {
		if found[i] = m.result(r.src, state, int(key[0].Int)); fails {
			found[i] = enrich.Extension{Err: errors.New("no reachable servers")}
		}
	}
	if !fails {
		m.readMin = max(m.readMin, state)
	}
	r.answer <- found
}

func (m *model) finish() {
	for len(m.pending) > 0 {
		m.endRead()
		synctest.Wait()
	}
	m.stats = m.cache.Stats()[0]
	m.cache.Close()
}
