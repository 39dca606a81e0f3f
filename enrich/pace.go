package enrich

import "time"

const (
	// minPaced is the round trip from which on several commands at a time pay. On a shorter one, as on loopback, where it
	// is 0.3 ms and more if the machine is busy, a command costs both sides more CPU time than a key loses by waiting.
	minPaced = 800 * time.Microsecond

	// paceStep is the time between two commands, until there are maxConcurrency of them.
	paceStep = 400 * time.Microsecond

	// maxConcurrency is the largest number of commands of a group at a time. A key then waits for an eighth of a round
	// trip at most, half as long on average; more commands would make that a little less, and cost CPU time.
	maxConcurrency = 8

	// paceWindow is how long the shortest round trip is remembered, once or twice.
	paceWindow = 10 * time.Second
)

// pace decides when the next command of a group may start: the longer the round trip to the database, the more commands
// are under way, so that a key waits for a fraction of a round trip at most. It is a token bucket: a token comes each
// [pace.interval], and there are [pace.concurrency] at most, so that keys that come one by one do not wait at all.
//
// The round trip is the shortest of the last 10 to 20 seconds: longer ones tell how busy the database or this machine
// is, which more commands would not help. The zero value is one command at a time.
type pace struct {
	began         time.Time     // of the current window
	current, last time.Duration // shortest round trips of the current window and the one before; 0 if there was none
}

// observe takes note of a command that has ended.
func (p *pace) observe(now time.Time, took time.Duration) {
	if age := now.Sub(p.began); age >= paceWindow {
		p.last, p.current, p.began = p.current, 0, now
		if age >= 2*paceWindow {
			p.last = 0
		}
	}
	if p.current == 0 || took < p.current {
		p.current = took
	}
}

func (p *pace) roundTrip() time.Duration {
	if p.current == 0 || p.last != 0 && p.last < p.current {
		return p.last
	}
	return p.current
}

// concurrency returns how many commands may be under way if each takes the shortest round trip.
func (p *pace) concurrency() int {
	if p.roundTrip() < minPaced {
		return 1
	}
	return min(1+int(p.roundTrip()/paceStep), maxConcurrency)
}

// limit returns how many commands may be under way: twice as many, for those that take longer, if not one by one.
func (p *pace) limit() int {
	if n := p.concurrency(); n > 1 {
		return 2 * n
	}
	return 1
}

// interval returns the time between two commands that keeps concurrency commands under way.
func (p *pace) interval() time.Duration { return p.roundTrip() / time.Duration(p.concurrency()) }

// take takes a token. It returns how long the caller must wait for it, and when the bucket will be full again, which
// full was before (the generic cell rate algorithm; ITU-T I.371).
func (p *pace) take(now, full time.Time) (wait time.Duration, fullAgain time.Time) {
	if full.Before(now) {
		full = now
	}
	full = full.Add(p.interval())
	return max(0, full.Sub(now)-p.interval()*time.Duration(p.concurrency())), full
}
