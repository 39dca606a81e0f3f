package enrich

import (
	"errors"
	"fmt"
	"sync"
)

// Store reads extensions. Package storetest holds the tests that every Store must pass, and a small Store in
// memory.
type Store interface {
	// Find begins to read the extension of each key, and returns; found is called once when they are there, by any goroutine,
	// be it before Find returns. It gets one for each, in the order of the keys, as one JSON object with exactly src.Fields,
	// in their order. It is the first document that meets all conditions of src: numbers are equal by value, whatever
	// numeric type either side has. Where there are many keys, they differ in one condition only.
	//
	// The error of an extension is [ErrNotFound] when there is no such document and wraps [ErrWrongType] when one of its
	// fields is not what src asks for, or missing without a default, or when the field of a condition holds something
	// that equals a key but is none (a Decimal128, an array). Anything else means that the document could not be read. The
	// bytes are not to be changed: others may have the same. src is compared by address: the same Source is passed
	// as the same pointer.
	//
	// giveUp says that the caller does not wait any more. Whether found is called after that is the Store's choice.
	Find(src *Source, keys []Key, found func([]Extension)) (giveUp func())
}

var (
	ErrNotFound  = errors.New("no such document")
	ErrWrongType = errors.New("wrong type")

	errCoreFailed     = errors.New("its key is in the core, which failed")
	errAnswerTooLarge = errors.New("with the extensions the answer would be too large")
)

// Extension is the outcome of a read: one JSON object, or the error that stands for it.
type Extension struct {
	JSON []byte
	Err  error

	Command *Command // the one that it came with; nil if the store does not say
}

// Read is the reads of an exchange, which are under way side by side.
type Read struct {
	store  Store
	rule   *Rule
	params []Value

	mu       sync.Mutex // for what follows
	sources  []sourceRead
	underWay int
	notify   func() // called when none is under way any more; nil for nothing
}

// sourceRead is the read of one source.
type sourceRead struct {
	began, ended bool
	giveUp       func() // nil if there is nothing to give up
	// found has an extension for each core: the one, or the elements of the list.
	found []Extension
}

// Fetch starts to read the extensions of a request and returns at once. Those whose keys are in the core wait for
// [Read.Join]. The caller must call [Read.Stop].
func Fetch(store Store, rule *Rule, params []Value) *Read {
	r := &Read{store: store, rule: rule, params: params, sources: make([]sourceRead, len(rule.Sources))}
	for i, src := range rule.Sources {
		if rule.List == nil && !src.isLate() {
			r.start(i, []unit{{}})
		}
	}
	return r
}

// Join starts the reads that need the core. It is called once at most.
func (r *Read) Join(core Core) {
	if core.Failed != "" {
		return
	}
	for i := range r.sources {
		if !r.sources[i].began {
			r.start(i, core.units)
		}
	}
}

// start starts to read what a source has for each core. Keys that are there twice are asked for once.
func (r *Read) start(i int, units []unit) {
	src := r.rule.Sources[i]
	found := make([]Extension, len(units))
	keys := make([]Key, 0, len(units))
	asks := make([][]int, 0, len(units)) // by key: the units that have it
	known := map[Value]int{}
	for u := range units {
		key, varies, err := r.rule.key(i, r.params, &units[u])
		switch {
		case errors.Is(err, ErrNotFound):
			found[u].JSON = src.Default(key)
			continue
		case err != nil:
			found[u].Err = err
			continue
		}
		n, ok := known[varies]
		if !ok {
			n = len(keys)
			known[varies] = n
			keys, asks = append(keys, key), append(asks, nil)
		}
		asks[n] = append(asks[n], u)
	}
	r.mu.Lock()
	r.sources[i].began = true
	r.underWay++
	r.mu.Unlock()
	if len(keys) == 0 {
		r.end(i, found)
		return
	}
	giveUp := r.store.Find(src, keys, func(extensions []Extension) {
		for n, ext := range extensions {
			if errors.Is(ext.Err, ErrNotFound) {
				ext = Extension{JSON: src.Default(keys[n]), Command: ext.Command}
			}
			for _, u := range asks[n] {
				found[u] = ext
			}
		}
		r.end(i, found)
	})
	r.mu.Lock()
	r.sources[i].giveUp = giveUp
	r.mu.Unlock()
}

// end takes what a source has.
func (r *Read) end(i int, found []Extension) {
	r.mu.Lock()
	s := &r.sources[i]
	s.ended, s.found = true, found
	r.underWay--
	notify := r.notify
	if r.underWay > 0 {
		notify = nil
	}
	r.mu.Unlock()
	if notify != nil {
		notify()
	}
}

// key returns the key of a core for a source, and the one value of it that is not the same for all cores of a list. The
// error is ErrNotFound if the core has no such member, or null there.
func (r *Rule) key(source int, params []Value, u *unit) (key Key, varies Value, err error) {
	src := r.Sources[source]
	key = make(Key, len(src.Where))
	for i, c := range src.Where {
		switch c.From {
		case FromParam:
			key[i] = params[c.Param]
		case FromRule:
			key[i] = c.Fixed
		case FromCore:
			m := u.members[r.plan.keys[source][i]]
			if m.kind == 0 || m.kind == 'n' {
				err = ErrNotFound
				key[i] = Value{Type: Any} // null, if it is asked for
				continue
			}
			v, ok := m.value(c.Type)
			if !ok {
				return nil, Value{}, fmt.Errorf("member %q of the core: %w", c.At, ErrWrongType)
			}
			key[i], varies = v, v
		}
	}
	return key, varies, err
}

// Found are the extensions of an exchange.
type Found struct {
	bySource [][]Extension

	Reads []SourceRead // those that were waited for, in the order of the sources
}

// without returns as many extensions, all with an error.
func (f Found) without(err error) Found {
	failed := Found{bySource: make([][]Extension, len(f.bySource))}
	for source, found := range f.bySource {
		failed.bySource[source] = make([]Extension, len(found))
		for i := range found {
			failed.bySource[source][i].Err = err
		}
	}
	return failed
}

// of returns the extension of a core. If there is none for want of a core, that is its error.
func (f Found) of(source, unit int) Extension {
	if unit >= len(f.bySource[source]) {
		return Extension{Err: errCoreFailed}
	}
	return f.bySource[source][unit]
}

// IsDone reports whether the reads that have begun have ended.
func (r *Read) IsDone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.underWay == 0
}

// Notify has f called when the reads that have begun have ended: now, if they have, or by any goroutine.
func (r *Read) Notify(f func()) {
	r.mu.Lock()
	done := r.underWay == 0
	if !done {
		r.notify = f
	}
	r.mu.Unlock()
	if done {
		f()
	}
}

// Found returns the extensions. late stands for those that are not there.
func (r *Read) Found(core Core, late error) Found {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := Found{bySource: make([][]Extension, len(r.sources)), Reads: make([]SourceRead, 0, len(r.sources))}
	for i := range r.sources {
		s := &r.sources[i]
		if !s.began {
			continue
		}
		read := SourceRead{Source: r.rule.Sources[i], Late: r.rule.List != nil || r.rule.Sources[i].isLate()}
		if s.ended {
			f.bySource[i] = s.found
			read.Command = commandOf(s.found)
		} else {
			f.bySource[i] = make([]Extension, max(1, len(core.units)))
			for u := range f.bySource[i] {
				f.bySource[i][u].Err = late
			}
		}
		f.Reads = append(f.Reads, read)
	}
	return f
}

// commandOf returns the command of the extensions of a source: there is one at most.
func commandOf(found []Extension) *Command {
	for _, ext := range found {
		if ext.Command != nil {
			return ext.Command
		}
	}
	return nil
}

// Stop gives up the reads that are still under way.
func (r *Read) Stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notify = nil
	for i := range r.sources {
		if s := &r.sources[i]; s.giveUp != nil && !s.ended {
			s.giveUp()
		}
	}
}
