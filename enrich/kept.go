package enrich

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"weft/enrich/httpcache"
)

// Kept has the core that is kept for a request. A nil Kept has none, and its methods do nothing.
type Kept struct {
	cores     *Cores
	rule      *Rule // nil for an unsafe request
	params    []Value
	keys      []string // of the core; of several, all are invalidated
	request   httpcache.Request
	requested time.Time
	ctx       context.Context //nolint:containedctx // of the exchange, but its end does not cancel writes to the store

	staleIfError time.Duration // how stale the core may be to stand in
	keepFor      time.Duration // how long stores keep a stale core: other rules may need it longer
	budget       time.Duration // of the exchange; 0 means no limit

	isOwn     bool                // the core belongs to a verified caller
	response  *httpcache.Response // earlier response; nil without one
	use       httpcache.Use       // of response
	validates bool                // the request has conditions of weft
	isDecided bool                // change was called
	saved     chan struct{}       // closed when the store has changed; nil if it does not
	panicked  *PanicError         // while it changed; set before saved is closed
	land      func()              // ends the wait of concurrent requests
}

// find gets the earlier response from a store. It reports whether the store has a value, perhaps without a response.
func (k *Kept) find(ctx context.Context, store CoreStore) (hasValue bool, err error) {
	k.response, k.use = nil, httpcache.No
	value, err := store.Get(ctx, k.keys[0])
	if err != nil || len(value) == 0 {
		return false, err
	}
	entry, err := httpcache.Decode(value)
	if err != nil { // of another version
		return false, err
	}
	if r, ok := entry.Select(k.request); ok {
		k.response, k.use = &r, r.Use(k.request, k.cores.now())
	}
	return true, nil
}

// Fresh returns the kept core if it replaces the request to the legacy service.
func (k *Kept) Fresh() (core Core, ok bool) {
	if k == nil || k.use != httpcache.Fresh {
		return Core{}, false
	}
	return k.core(CoreHit)
}

// core returns the core of the earlier response. It is not ok if the rule has changed, and the core is not valid.
func (k *Kept) core(use CoreUse) (core Core, ok bool) {
	core, ok = k.rule.ParseCore(k.response.Body, k.response.Header.Get("Content-Encoding"))
	if !ok || core.Failed != "" {
		return Core{}, false
	}
	core.Kept = &KeptCore{Use: use, Age: k.response.Age(k.cores.now()), status: k.response.Status}
	for name, values := range k.response.Header {
		if name = strings.ToLower(name); !slices.Contains(legacyBodyHeaders, name) && name != "age" {
			core.Kept.fields = append(core.Kept.fields, Header{name, strings.Join(values, ", ")})
		}
	}
	slices.SortFunc(core.Kept.fields, func(a, b Header) int { return cmp.Compare(a.Name, b.Name) })
	return core, true
}

// Conditions returns request headers with which the legacy service can confirm the kept core instead of sending it
// (RFC 9111, section 4.3.1).
func (k *Kept) Conditions() (conditions []Header) {
	if k == nil || k.use != httpcache.Validate {
		return nil
	}
	if _, ok := k.core(CoreRevalidated); !ok { // then a 304 would be of no use
		return nil
	}
	for name, values := range k.response.Conditions() {
		conditions = append(conditions, Header{strings.ToLower(name), strings.Join(values, ", ")})
	}
	k.validates = len(conditions) > 0
	return conditions
}

// Validates reports whether a 304 is the response to conditions of weft. The client must not get it.
func (k *Kept) Validates() bool { return k != nil && k.validates }

// Respond takes note of the headers of the response. If they confirm the kept core, it returns the core. If the legacy
// service has changed the resource or has rejected the request, or if its response cannot be kept, what is kept is
// dropped.
func (k *Kept) Respond(resp Response) (core Core, isValid bool) {
	switch {
	case k == nil:
	case k.rule == nil:
		k.change(resp)
	case resp.Origin != OriginLegacy:
	case resp.Status == http.StatusNotModified && k.validates:
		fresh, ok := k.response.Freshen(k.legacyResponse(resp, nil))
		if !ok { // it has confirmed another core than it was asked for
			k.Drop()
			if core, isValid = k.core(CoreStale); isValid {
				core.Kept.Instead, core.Kept.fields = LegacyError, nil
			}
			return core, isValid
		}
		k.response = &fresh
		if core, isValid = k.core(CoreRevalidated); isValid {
			k.save(fresh)
		}
	case resp.Status >= 300 && resp.Status < 500:
		k.save(k.legacyResponse(resp, nil))
	case resp.Status >= 200 && resp.Status < 300:
		if action, _ := k.rule.Verdict(resp); action != Compose {
			k.Drop()
		}
	}
	return core, isValid
}

// change takes note of the response to a request that may have changed the resource (RFC 9111, section 4.4). If its
// outcome is not known, for example because the client has disconnected, what is kept is not fresh any more.
func (k *Kept) change(resp Response) {
	k.isDecided = true
	now := k.cores.now()
	switch isLegacy := resp.Origin == OriginLegacy; {
	case isLegacy && httpcache.Invalidates(k.request.Method, resp.Status):
		k.update(func(e httpcache.Entry) httpcache.Entry { return e.Invalidate(now) })
	case isLegacy || resp.Origin == OriginProxy: // it has failed
	default:
		k.update(func(e httpcache.Entry) httpcache.Entry { return e.Outdate(now) })
	}
}

// maxStandInTime limits the time for a core that stands in.
const maxStandInTime = 200 * time.Millisecond

// StandIn returns the core for a failure of the legacy service: the kept core if it may stand in, or a missing one.
func (k *Kept) StandIn(why Reason) Core {
	if k == nil || k.rule == nil || k.staleIfError == 0 || why != LegacyError && why != LegacyUnreachable {
		return FailedCore(why)
	}
	// Without the core, the answer has none. So a store may respond later than in Recall.
	limit := maxStandInTime
	if k.budget > 0 {
		limit = min(limit, k.budget/4)
	}
	ctx, cancel := context.WithTimeout(k.ctx, limit)
	defer cancel()
	// Again: what is kept may have been dropped since. The local store does not know what other processes have dropped,
	// but the other one has that for at least staleIfError, unless it fails: see [httpcache.Entry.TTL].
	hasValue, _ := k.find(ctx, k.cores.store)
	now := k.cores.now()
	if !hasValue && k.cores.local != nil {
		_, _ = k.find(k.ctx, k.cores.local)
		if r := k.response; r != nil && (now.Sub(r.Received) > k.staleIfError || r.Received.Before(k.droppedUntil(ctx))) {
			return FailedCore(why)
		}
	}
	if k.response == nil || !k.response.StandsIn(k.request, now, k.staleIfError) {
		return FailedCore(why)
	}
	core, ok := k.core(CoreStale)
	if !ok {
		return FailedCore(why)
	}
	core.Kept.Instead, core.Kept.fields = why, nil
	return core
}

// droppedUntil returns the time before which responses to the request were dropped, as the store knows from before it
// has lost changes.
func (k *Kept) droppedUntil(ctx context.Context) time.Time {
	store, ok := k.cores.store.(LossyStore)
	if !ok {
		return time.Time{}
	}
	entry, _ := httpcache.Decode(store.Outdated(ctx, k.keys[0]))
	if _, ok := entry.Select(k.request); ok {
		return time.Time{}
	}
	return entry.Since
}

// Save keeps the core in a response if that is allowed, and otherwise drops the earlier one. [Kept.Wait] waits for it.
func (k *Kept) Save(resp Response, body []byte, core Core) {
	if k == nil || k.rule == nil {
		return
	}
	isOther := slices.ContainsFunc(core.units, func(u unit) bool { return !k.rule.belongs(&u, k.params) })
	if core.Failed != "" || isOther {
		k.Drop()
		return
	}
	k.save(k.legacyResponse(resp, body))
}

// Drop drops what is kept, because a newer response cannot be kept.
func (k *Kept) Drop() {
	if k != nil && k.rule != nil {
		k.save(httpcache.Response{
			Status: http.StatusOK, Header: http.Header{"Cache-Control": {"no-store"}},
			Requested: k.requested, Received: k.cores.now(),
		})
	}
}

func (k *Kept) legacyResponse(resp Response, body []byte) httpcache.Response {
	return httpcache.Response{
		Status: resp.Status, Header: resp.Header, Body: body, Requested: k.requested, Received: k.cores.now(),
	}
}

// save starts to keep a response, or to drop those that are older than it.
func (k *Kept) save(resp httpcache.Response) {
	if !httpcache.Matters(k.request, resp, k.isOwn) {
		return
	}
	k.update(func(e httpcache.Entry) httpcache.Entry {
		e, _ = e.Update(k.request, resp, k.isOwn)
		return e
	})
}

// update starts a change of the stores. After an error the store does not return older values: see [CoreStore].
func (k *Kept) update(change func(httpcache.Entry) httpcache.Entry) {
	ctx, before := context.WithoutCancel(k.ctx), k.saved
	k.saved = make(chan struct{})
	done := k.saved
	go func() {
		defer func() {
			k.panicked = cmp.Or(k.panicked, AsPanic(recover()))
			close(done)
		}()
		if before != nil {
			<-before
		}
		for _, key := range k.keys {
			k.updateKey(ctx, key, change)
			k.cores.changed.record(key, k.cores.now())
		}
	}()
}

func (k *Kept) updateKey(ctx context.Context, key string, change func(httpcache.Entry) httpcache.Entry) {
	var local httpcache.Entry
	var value []byte
	if k.cores.local != nil {
		value = k.updateStore(ctx, k.cores.local, key, func(old []byte) httpcache.Entry {
			if k.keepFor == 0 { // nothing stands in, until the rules change
				return httpcache.Entry{}
			}
			local = change(k.entry(key, old))
			return local
		})
	}
	k.updateStore(ctx, k.cores.store, key, func(old []byte) httpcache.Entry {
		if k.cores.local == nil || k.keepFor == 0 || len(old) > 0 {
			return change(k.entry(key, old))
		}
		// The store has lost the value, and perhaps what a concurrent exchange has changed after the local Update.
		if current, _ := k.cores.local.Get(ctx, key); !bytes.Equal(current, value) {
			local = change(k.entry(key, current))
		}
		return local.ReceivedSince(k.requested)
	})
}

// entry returns what a store has for a key.
func (k *Kept) entry(key string, value []byte) httpcache.Entry {
	entry, _ := httpcache.Decode(value) // of another version: as if the key had no value
	if last := k.cores.changed.of(key); len(value) == 0 && last > 0 {
		entry = entry.Invalidate(time.Unix(0, last))
	}
	return entry
}

// updateStore changes what a store has for a key. It returns the new value.
func (k *Kept) updateStore(
	ctx context.Context, store CoreStore, key string, change func(old []byte) httpcache.Entry,
) (value []byte) {
	_ = store.Update(ctx, key, func(old []byte) ([]byte, time.Duration) {
		entry := change(old)
		value = httpcache.Encode(entry)
		if len(value) > store.MaxValue(key) { // the store would forget that earlier responses are outdated
			entry = entry.Invalidate(k.cores.now())
			value = httpcache.Encode(entry)
		}
		return value, entry.TTL(k.cores.now(), k.keepFor)
	})
	return value
}

// Wait waits until the core is kept, so that the next request of the client gets this one or a newer one.
func (k *Kept) Wait() {
	if k != nil && k.saved != nil {
		<-k.saved
		if k.panicked != nil {
			panic(k.panicked)
		}
	}
}

// Close ends the use of k.
func (k *Kept) Close() {
	if k == nil {
		return
	}
	if k.land != nil {
		defer k.land() // also if Wait panics
	}
	if k.rule == nil && !k.isDecided {
		k.change(Response{})
	}
	k.Wait()
}
