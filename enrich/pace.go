package enrich

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// minPaced is the minimum round trip for concurrent commands. On a shorter one, as on loopback (0.3 ms or more on a
	// busy machine), an additional command costs client and server more CPU time than it saves waiting time.
	minPaced = 800 * time.Microsecond

	// paceStep is the time between two commands, while there are fewer than maxConcurrency of them.
	paceStep = 400 * time.Microsecond

	// maxConcurrency is the maximum number of concurrent commands of a group. A key then waits for an eighth of a round
	// trip at most, half of that on average; more commands would reduce this little, and cost CPU time.
	maxConcurrency = 8

	// paceWindow is the length of a window. The shortest round trip of the last two windows counts.
	paceWindow = 10 * time.Second
)

// pace decides when the next command of a group may start. The longer the round trip to the database, the more commands
// are in flight, so that a key waits for a fraction of a round trip at most. It is a token bucket: a token arrives each
// [pace.interval], and the bucket holds [pace.concurrency], so that single keys do not wait.
//
// A read may wait for free if it ends before its exchange needs it, because the legacy service takes longer. So there
// are fewer commands if only a share of the reads is awaited. With n commands in flight, the number of commands grows
// with n, and the time that exchanges wait with share/n: the sum of both is the least if n grows with √share.
//
// The round trip is the shortest of the last 10 to 20 seconds: longer ones measure the load of the database or of this
// machine, which more commands would not reduce. The zero value allows one command at a time.
type pace struct {
	began         time.Time     // of the current window
	current, last time.Duration // shortest round trips of the current and the previous window; 0 if no command ended
}

// observe records the round trip of a command.
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

// concurrency returns how many commands are in flight if each takes the shortest round trip. awaited is the share of
// reads that exchanges wait for; see [awaitedShare].
func (p *pace) concurrency(awaited float64) int {
	if p.roundTrip() < minPaced {
		return 1
	}
	n := min(1+int(p.roundTrip()/paceStep), maxConcurrency)
	return max(1, int(math.Round(math.Sqrt(awaited)*float64(n))))
}

// limit returns the maximum number of commands in flight: twice the concurrency, for commands that take longer, or 1.
func (p *pace) limit(awaited float64) int {
	if p.roundTrip() < minPaced {
		return 1
	}
	return 2 * p.concurrency(awaited)
}

// interval returns the time between two commands that keeps concurrency commands in flight.
func (p *pace) interval(awaited float64) time.Duration {
	return p.roundTrip() / time.Duration(p.concurrency(awaited))
}

// reserve removes a token. It returns how long the caller must wait for it, and when the bucket will be full again;
// full is when it was to be full before (the generic cell rate algorithm; ITU-T I.371).
func (p *pace) reserve(now, full time.Time, awaited float64) (wait time.Duration, fullAgain time.Time) {
	if full.Before(now) {
		full = now
	}
	full = full.Add(p.interval(awaited))
	return max(0, full.Sub(now)-p.interval(awaited)*time.Duration(p.concurrency(awaited))), full
}

// awaitedShare is the share of reads that had not ended when their exchanges needed them: a moving average over about
// 64 reads. It is safe for concurrent use. The zero value is 1, and nil remains 1.
type awaitedShare struct {
	ended atomic.Uint32 // bits of 1 - share
}

// observe records a read. If it is called concurrently, a read may be lost.
func (s *awaitedShare) observe(isAwaited bool) {
	if s == nil {
		return
	}
	ended, target := math.Float32frombits(s.ended.Load()), float32(1)
	if isAwaited {
		target = 0
	}
	s.ended.Store(math.Float32bits(ended + (target-ended)/64))
}

func (s *awaitedShare) value() float64 {
	if s == nil {
		return 1
	}
	return 1 - float64(math.Float32frombits(s.ended.Load()))
}
