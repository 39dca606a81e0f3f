package enrich

import (
	"context"
	"slices"
	"time"
)

const (
	// maxRetries is the largest number of second tries at a time.
	maxRetries = 64

	// abandonTime is how long after its callers have left a second try can be canceled in favor of another one. It is
	// more than clients that hang up together differ by.
	abandonTime = 100 * time.Millisecond

	// maxFailures is how many keys are asked for alone before a failure of all of them is taken for one of the database.
	// Half of the keys may be of a shard that fails: all of the first 16 are, once in 65,536 commands.
	maxFailures = 16
)

// retries are the second tries of a batch: commands for one key, because the one for several failed or is overdue. If
// there are too many, they wait for their turn.
//
// Since drivers close the connection of a canceled command, a second try is canceled only in favor of one that waits:
// if its callers have left, or if it is held, so that a part of the database that does not answer leaves places to
// others.
type retries struct {
	running []*retry // the oldest first
	waiting []*retry // the oldest first
	again   []*retry // that were held; see pollRetries

	isPolling bool // pollRetries will be called
}

// retry is a second try.
type retry struct {
	src      *Source
	lookup   *lookup
	deadline time.Time
	*command // nil if it waits
}

// retry reads the key of each lookup with a command of its own. b.mu is locked.
func (b *batch) retry(src *Source, lookups ...*lookup) {
	deadline := time.Now().Add(maxCommandTime)
	for _, l := range lookups {
		b.retries.waiting = append(b.retries.waiting, &retry{src: src, lookup: l, deadline: deadline})
	}
	b.startRetries()
}

// startRetries starts second tries while there are places, or others give way. b.mu is locked.
func (b *batch) startRetries() {
	r := &b.retries
	r.waiting, r.again = wanted(r.waiting), wanted(r.again)
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

// pollRetries starts second tries that have become possible, and another one for a key that was held: it may have been
// late for another reason. There are few, so that keys that are held do not cost a connection each time.
func (b *batch) pollRetries() {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &b.retries
	r.isPolling = false
	r.again = wanted(r.again)
	if len(r.waiting) == 0 && len(r.again) > 0 && len(r.running) == maxRetries && b.giveWay() {
		b.startRetry(&r.again)
	}
	b.startRetries()
}

// wanted returns the second tries that callers wait for. The lookups of the others have no caller any more.
func wanted(waiting []*retry) []*retry {
	return slices.DeleteFunc(waiting, func(r *retry) bool {
		if r.lookup.callers == 0 {
			settle([]*lookup{r.lookup}, failAll(1, context.Canceled))
		}
		return r.lookup.settled
	})
}

// giveWay cancels the oldest second try that can be. It reports whether there is one.
func (b *batch) giveWay() bool {
	r := &b.retries
	i := slices.IndexFunc(r.running, func(r *retry) bool {
		if r.lookup.callers == 0 {
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

// startRetry starts the first second try of a queue. b.mu is locked.
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
	defer b.mu.Unlock()
	i := slices.Index(b.retries.running, r)
	isAnswered := readError(found) == nil
	if isAnswered {
		b.observe(r.command, took)
	}
	if i >= 0 || isAnswered { // else it gave way, and another try of the key follows
		settle([]*lookup{r.lookup}, found)
	}
	if i >= 0 {
		b.retries.running = slices.Delete(b.retries.running, i, i+1)
		b.startRetries()
	}
}

// retryFailed reads the keys of a command that failed one by one: its reason may be one of them, or the server that has
// it. If all of the first fail, too, and the database has answered no other command since the failed one began, the
// others get the error of that one.
func (b *batch) retryFailed(c *command, src *Source, lookups []*lookup, err error) {
	probes, rest := lookups[:min(len(lookups), maxFailures)], lookups[min(len(lookups), maxFailures):]
	b.mu.Lock()
	b.retry(src, probes...)
	b.mu.Unlock()
	for _, l := range probes {
		<-l.done
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answered.Before(c.began) {
		settle(rest, failAll(len(rest), err))
	} else {
		b.retry(src, rest...)
	}
}
