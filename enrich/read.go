package enrich

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Read runs the reads of an exchange, one per source of its rule, concurrently. It is not safe for concurrent use.
type Read struct {
	ctx    context.Context //nolint:containedctx // of the exchange; its end cancels the reads
	cancel context.CancelCauseFunc
	store  Store
	rule   *Rule
	params []Value

	sources []sourceRead
	running atomic.Int32 // reads that have not ended; one more before Notify
	notify  func()       // of Notify
}

// sourceRead is the read of one source.
type sourceRead struct {
	done      chan struct{} // closed when found is set; nil if the read has not started
	found     []Extension   // one per core
	isAwaited bool          // it had not ended when Notify was called
}

// Fetch starts the reads of a request and returns immediately. [Read.Join] starts the reads whose keys are in the core.
// The caller must call [Read.Stop].
func Fetch(ctx context.Context, store Store, rule *Rule, params []Value) *Read {
	r := &Read{store: store, rule: rule, params: params, sources: make([]sourceRead, len(rule.Sources))}
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	r.running.Store(1)
	for i, src := range rule.Sources {
		if rule.List == nil && !src.isLate() {
			r.start(i, []unit{{}})
		}
	}
	return r
}

// Join starts the reads that need the core. It must be called at most once.
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

// Done reports whether all started reads have ended. Then Await returns immediately.
func (r *Read) Done() bool {
	for i := range r.sources {
		if s := &r.sources[i]; s.done != nil && !s.isDone() {
			return false
		}
	}
	return true
}

// Notify calls f when all started reads have ended, in any goroutine, also before it returns. If the budget is used up,
// it cancels them; a budget of 0 is unlimited. Then Await returns immediately. Notify must be called at most once.
func (r *Read) Notify(budget time.Duration, f func()) {
	for i := range r.sources {
		if s := &r.sources[i]; s.done != nil && !s.isDone() {
			s.isAwaited = true
			r.rule.Sources[i].awaited.observe(true)
		}
	}
	r.notify = f
	if budget > 0 {
		timer := time.AfterFunc(budget, func() { r.cancel(context.DeadlineExceeded) })
		r.notify = func() {
			timer.Stop()
			f()
		}
	}
	r.end()
}

// end records the end of a read.
func (r *Read) end() {
	if r.running.Add(-1) == 0 {
		r.notify()
	}
}

// Stop cancels the reads that have not ended. Any goroutine may call it.
func (r *Read) Stop() { r.cancel(nil) }

// Await waits until all started reads have ended, ctx ends, or the budget is used up, and returns the extensions. A
// budget of 0 is unlimited. Reads that have not ended have the error context.DeadlineExceeded. If a read panicked,
// Await panics with its [PanicError].
func (r *Read) Await(core Core, budget time.Duration) Found {
	r.wait(budget)
	f := Found{bySource: make([][]Extension, len(r.sources)), Reads: make([]SourceRead, 0, len(r.sources))}
	for i := range r.sources {
		s := &r.sources[i]
		if s.done == nil {
			continue
		}
		found := failAll(max(1, len(core.units)), context.DeadlineExceeded)
		if s.isDone() {
			found = s.found
		}
		read := SourceRead{Source: r.rule.Sources[i], Late: r.rule.List != nil || r.rule.Sources[i].isLate()}
		for _, ext := range found {
			var panicked *PanicError
			if errors.As(ext.Err, &panicked) {
				panic(panicked)
			}
			if read.Command == nil {
				read.Command = ext.Command
			}
			read.Cache = read.Cache.join(ext.Cache)
		}
		f.bySource[i] = found
		f.Reads = append(f.Reads, read)
	}
	return f
}

func (r *Read) wait(budget time.Duration) {
	var timeout <-chan time.Time
	for i := range r.sources {
		s := &r.sources[i]
		if s.done == nil {
			continue
		}
		if s.isDone() {
			if !s.isAwaited && s.usedCommand() {
				r.rule.Sources[i].awaited.observe(false)
			}
			continue
		}
		r.rule.Sources[i].awaited.observe(true)
		if timeout == nil && budget > 0 {
			timer := time.NewTimer(budget)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-s.done:
		case <-timeout:
			r.giveUp()
			return
		case <-r.ctx.Done():
			return
		}
	}
}

// giveUp cancels all reads, and waits for the stores that may have an older copy. They return when their context ends.
func (r *Read) giveUp() {
	r.cancel(context.DeadlineExceeded)
	for i := range r.sources {
		if s := &r.sources[i]; s.done != nil && r.rule.Sources[i].Cache != nil {
			<-s.done
		}
	}
}

func (s *sourceRead) isDone() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// usedCommand reports whether a read that has ended is the result of a command.
func (s *sourceRead) usedCommand() bool {
	return slices.ContainsFunc(s.found, func(ext Extension) bool { return ext.Command != nil })
}

// start starts the read of a source for all cores. It reads a key once even if several cores have it. If there is no
// document, the extension has the defaults.
func (r *Read) start(i int, units []unit) {
	src, s := r.rule.Sources[i], &r.sources[i]
	s.done, s.found = make(chan struct{}), make([]Extension, len(units))
	keys := make([]Key, 0, len(units))
	unitsOf := make([][]int, 0, len(units)) // by key: the units with that key
	known := map[Value]int{}
	for u := range units {
		key, varies, err := r.rule.key(i, r.params, &units[u])
		switch {
		case errors.Is(err, ErrNotFound):
			s.found[u].JSON = src.Default(key)
			continue
		case err != nil:
			s.found[u].Err = err
			continue
		}
		n, ok := known[varies]
		if !ok {
			n = len(keys)
			known[varies] = n
			keys, unitsOf = append(keys, key), append(unitsOf, nil)
		}
		unitsOf[n] = append(unitsOf[n], u)
	}
	if len(keys) == 0 {
		close(s.done)
		return
	}
	r.running.Add(1)
	Start(r.ctx, r.store, src, keys, func(found []Extension) {
		for n, ext := range found {
			switch {
			case errors.Is(ext.Err, ErrNotFound):
				ext.JSON, ext.Err = src.Default(keys[n]), nil
			case errors.Is(ext.Err, context.Canceled) && r.ctx.Err() != nil:
				ext.Err = context.Cause(r.ctx)
			case ext.Err == nil && len(ext.JSON) == 0: // a bug in a Store must not result in invalid JSON
				ext.Err = errNoResult
			}
			for _, u := range unitsOf[n] {
				s.found[u] = ext
			}
		}
		close(s.done)
		r.end()
	})
}

// key returns the key of a core for a source, and the value in it that varies between the cores of a list. The error is
// ErrNotFound if the member of the core is missing or null.
func (r *Rule) key(source int, params []Value, u *unit) (key Key, varies Value, err error) {
	src := r.Sources[source]
	key = make(Key, len(src.Where))
	for i, c := range src.Where {
		var ok bool
		if key[i], ok = c.Value(params); ok {
			continue
		}
		m := u.members[r.plan.keys[source][i]]
		if m.kind == 0 || m.kind == 'n' {
			err = ErrNotFound
			key[i] = Value{Type: Any} // null, if a field returns it
			continue
		}
		if varies, ok = m.value(c.Type); !ok {
			return nil, Value{}, fmt.Errorf("member %q of the core: %w", c.At, ErrWrongType)
		}
		key[i] = varies
	}
	return key, varies, err
}

// Found are the extensions of an exchange.
type Found struct {
	bySource [][]Extension

	Reads []SourceRead // the reads that were awaited, in the order of the sources
}

// without returns the same number of extensions, all with err.
func (f Found) without(err error) Found {
	failed := Found{bySource: make([][]Extension, len(f.bySource))}
	for source, found := range f.bySource {
		failed.bySource[source] = failAll(len(found), err)
	}
	return failed
}

// of returns the extension of a core. If it was not read because its key is in a failed core, the error is
// errCoreFailed.
func (f Found) of(source, unit int) Extension {
	if source >= len(f.bySource) || unit >= len(f.bySource[source]) {
		return Extension{Err: errCoreFailed}
	}
	return f.bySource[source][unit]
}
