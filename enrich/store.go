package enrich

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Store reads extensions. Package storetest holds the tests that every Store must pass, and a small Store in
// memory.
type Store interface {
	// Find returns the extension of each key, in the order of the keys, as one JSON object with exactly src.Fields, in
	// their order. It is the first document that meets all conditions of src: numbers are equal by value, whatever
	// numeric type either side has. Where there are many keys, they differ in one condition only.
	//
	// The error of an extension is [ErrNotFound] when there is no such document and wraps [ErrWrongType] when one of its
	// fields is not what src asks for, or missing without a default, or when the field of a condition holds something
	// that equals a key but is none (a Decimal128, an array). Anything else, ctx's own error included, means that the
	// document could not be read. The bytes are not to be changed: others may have the same. src is compared by address: the same Source is passed
	// as the same pointer.
	Find(ctx context.Context, src *Source, keys []Key) []Extension
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
	ctx     context.Context //nolint:containedctx // of the reads, of which some begin later; as long as the exchange
	cancel  context.CancelFunc
	running sync.WaitGroup

	store   Store
	rule    *Rule
	params  []Value
	sources []sourceRead
}

// sourceRead is the read of one source.
type sourceRead struct {
	done chan struct{} // closed when found is set; nil if the read has not begun
	// found has an extension for each core: the one, or the elements of the list. Written before done is closed.
	found []Extension
}

// Fetch starts to read the extensions of a request and returns at once. Those whose keys are in the core wait for
// [Read.Join]. The caller must call [Read.Stop].
func Fetch(ctx context.Context, store Store, rule *Rule, params []Value) *Read {
	ctx, cancel := context.WithCancel(ctx)
	r := &Read{ctx: ctx, cancel: cancel, store: store, rule: rule, params: params, sources: make([]sourceRead, len(rule.Sources))}
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
		if r.sources[i].done == nil {
			r.start(i, core.units)
		}
	}
}

func (r *Read) start(i int, units []unit) {
	s := &r.sources[i]
	s.done = make(chan struct{})
	r.running.Go(func() {
		defer close(s.done)
		s.found = r.read(i, units)
	})
}

// read reads what a source has for each core. Keys that are there twice are asked for once.
func (r *Read) read(i int, units []unit) []Extension {
	src := r.rule.Sources[i]
	found := make([]Extension, len(units))
	var keys []Key
	var asks [][]int // by key: the units that have it
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
	if len(keys) == 0 {
		return found
	}
	for n, ext := range r.store.Find(r.ctx, src, keys) {
		if errors.Is(ext.Err, ErrNotFound) {
			ext = Extension{JSON: src.Default(keys[n]), Command: ext.Command}
		}
		for _, u := range asks[n] {
			found[u] = ext
		}
	}
	return found
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

// Wait returns the extensions. Where ctx ends first, its error stands for what is not there.
func (r *Read) Wait(ctx context.Context, core Core) Found {
	f := Found{bySource: make([][]Extension, len(r.sources)), Reads: make([]SourceRead, 0, len(r.sources))}
	for i := range r.sources {
		s := &r.sources[i]
		if s.done == nil {
			continue
		}
		read := SourceRead{Source: r.rule.Sources[i], Late: r.rule.List != nil || r.rule.Sources[i].isLate()}
		select {
		case <-s.done:
			f.bySource[i] = s.found
			read.Command = commandOf(s.found)
		case <-ctx.Done():
			f.bySource[i] = make([]Extension, max(1, len(core.units)))
			for u := range f.bySource[i] {
				f.bySource[i][u].Err = ctx.Err()
			}
		}
		f.Reads = append(f.Reads, read)
	}
	return f
}

// IsDone reports whether the reads that have begun have ended, so that Wait would not wait.
func (r *Read) IsDone() bool {
	for i := range r.sources {
		if s := &r.sources[i]; s.done != nil {
			select {
			case <-s.done:
			default:
				return false
			}
		}
	}
	return true
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

// Stop cancels the reads that are still under way, and returns when they have ended.
func (r *Read) Stop() {
	r.cancel()
	r.running.Wait()
}
