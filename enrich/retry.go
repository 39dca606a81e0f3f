package enrich

import (
	"context"
	"slices"
	"time"
)

const (
	// maxRetries is the maximum number of concurrent retries.
	maxRetries = 64

	// abandonTime is the time after which a retry without callers can be canceled in favor of another one. It is longer
	// than the interval in which clients disconnect that do so together.
	abandonTime = 100 * time.Millisecond

	// maxFailures is the number of keys that are retried before the failure of all of them counts as one of the database.
	// If half of the keys belong to a failed shard, the first 16 all do once in 65,536 commands.
	maxFailures = 16
)

// retries are the retries of a batch: commands for one key, because a command for several keys failed or is overdue. At
// most maxRetries run; the others wait.
//
// Drivers close the connection of a canceled command. Therefore a retry is canceled only in favor of a waiting one, and
// only if its callers have left, or if it is held: part of a database that does not respond must not use all places.
type retries struct {
	running []*retry // the oldest first
	waiting []*retry // the oldest first
	again   []*retry // held before; see pollRetries

	isPolling bool // pollRetries is scheduled
}

// retry is a command for one key, after a first one.
type retry struct {
	src      *Source
	lookup   *lookup
	deadline time.Time
	*command // nil while it waits
}

// retry reads the key of each lookup with a separate command. b.mu is locked.
func (b *batch) retry(src *Source, lookups ...*lookup) {
	deadline := time.Now().Add(maxCommandTime)
	for _, l := range lookups {
		b.retries.waiting = append(b.retries.waiting, &retry{src: src, lookup: l, deadline: deadline})
	}
	b.startRetries()
}

// startRetries starts retries while fewer than maxRetries run, or others give way. b.mu is locked.
func (b *batch) startRetries() {
	r := &b.retries
	r.waiting, r.again = b.wanted(r.waiting), b.wanted(r.again)
	for len(r.waiting) > 0 && (len(r.running) < maxRetries || b.giveWay()) {
		b.startRetry(&r.waiting)
	}
	for len(r.again) > 0 && len(r.running) < maxRetries {
		b.startRetry(&r.again)
	}
	if len(r.waiting)+len(r.again) > 0 && !r.isPolling {
		r.isPolling = true
		time.AfterFunc(abandonTime/10, b.pollRetries)
	}
}

// pollRetries starts retries that have become possible, and retries one held key again, which may have been late for
// another reason. It is only one at a time, because each retry of a held key costs a connection.
func (b *batch) pollRetries() {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &b.retries
	r.isPolling = false
	r.again = b.wanted(r.again)
	if len(r.waiting) == 0 && len(r.again) > 0 && len(r.running) == maxRetries && b.giveWay() {
		b.startRetry(&r.again)
	}
	b.startRetries()
}

// wanted returns the retries that callers wait for, and settles the lookups of the others.
func (b *batch) wanted(waiting []*retry) []*retry {
	return slices.DeleteFunc(waiting, func(r *retry) bool {
		if len(r.lookup.callers) == 0 {
			b.settle([]*lookup{r.lookup}, failAll(1, context.Canceled))
		}
		return r.lookup.settled
	})
}

// giveWay cancels the oldest retry that may be canceled, and reports whether there is one.
func (b *batch) giveWay() bool {
	r := &b.retries
	i := slices.IndexFunc(r.running, func(r *retry) bool {
		if len(r.lookup.callers) == 0 {
			return time.Since(r.lookup.left) >= abandonTime
		}
		return b.isHeld(r.command)
	})
	if i < 0 {
		return false
	}
	canceled := r.running[i]
	canceled.cancel()
	r.running = slices.Delete(r.running, i, i+1)
	r.again = append(r.again, &retry{src: canceled.src, lookup: canceled.lookup, deadline: canceled.deadline})
	return true
}

// startRetry starts the first retry of a queue. b.mu is locked.
func (b *batch) startRetry(queue *[]*retry) {
	r := (*queue)[0]
	*queue = slices.Delete(*queue, 0, 1)
	ctx, cancel := context.WithDeadline(context.Background(), r.deadline)
	r.command = &command{began: time.Now(), cancel: cancel}
	b.retries.running = append(b.retries.running, r)
	go func() {
		defer cancel()
		found := b.read(ctx, r.src, []*lookup{r.lookup})
		b.endRetry(r, found, time.Since(r.began))
	}()
}

func (b *batch) endRetry(r *retry, found []Extension, took time.Duration) {
	b.mu.Lock()
	defer b.unlock()
	i := slices.Index(b.retries.running, r)
	isAnswered := readError(found) == nil
	if isAnswered {
		b.observe(r.command, took)
	}
	if i >= 0 || isAnswered { // else it gave way, and the key is retried again
		b.settle([]*lookup{r.lookup}, found)
	}
	if i >= 0 {
		b.retries.running = slices.Delete(b.retries.running, i, i+1)
		b.startRetries()
	}
}

// retryFailed retries the keys of a failed command one by one: the cause may be one of the keys, or its server. If the
// first keys fail, too, and the database has answered no other command since the failed one began, the other keys get
// the error of the failed command.
func (b *batch) retryFailed(c *command, src *Source, lookups []*lookup, err error) {
	probes, rest := lookups[:min(len(lookups), maxFailures)], lookups[min(len(lookups), maxFailures):]
	b.mu.Lock()
	b.retry(src, probes...)
	b.mu.Unlock()
	for _, l := range probes {
		<-l.done
	}
	b.mu.Lock()
	defer b.unlock()
	if b.answered.Before(c.began) {
		b.settle(rest, failAll(len(rest), err))
	} else {
		b.retry(src, rest...)
	}
}
