package enrich

import "time"

// Report says what became of one exchange, and what it took. All that is told of exchanges (logs, metrics, traces, the
// proxy's access log) is made of it. It has no bodies and no keys.
type Report struct {
	Rule    string // empty if no rule matched
	Outcome Outcome
	Err     error // what stood behind the outcome: of the core, the store or the stream; nil if nothing did

	Status     int // of the response that came, of the legacy service or of the proxy; 0 if none came
	CoreSize   int // bytes of the legacy body, as far as weft saw it
	AnswerSize int // bytes of the body that weft made; 0 if it made none

	Times Times
	Reads []SourceRead // those whose end was waited for

	Trace     Trace
	RequestID string // of the x-request-id header; empty if there is none
}

// Times are of one exchange. Legacy and Added are all of it: while the one goes by, weft waits for the proxy, and while the
// other does, the proxy for weft.
type Times struct {
	Began  time.Time     // the request came; zero if there is no clock, and then nothing else is known either
	Legacy time.Duration // until the response's head had come, and its body if it was asked for; that the proxy was slow is in it
	Added  time.Duration // what weft has cost the client
	Waited time.Duration // for the store, once the core was there; a part of Added
	Read   time.Duration // from the beginning of the reads to their end, or until they were given up; 0 if none was waited for

	Forwarded time.Duration // since Began: the request went on to the legacy service; 0 if it did not
	Answered  time.Duration // since Began: what came last of the response was there
	Waiting   time.Duration // since Began: the wait began; 0 if there was none
}

// Total is how long the exchange took.
func (t Times) Total() time.Duration { return t.Legacy + t.Added }

// SourceRead is the read of one source.
type SourceRead struct {
	Source  *Source
	Late    bool     // it began when the core was there, and not with the exchange
	Command *Command // nil if it was given up, or if the store does not say
}

// Trace is the place of an exchange in a trace, as its caller gave it (W3C Trace Context).
type Trace struct {
	ID      [16]byte // of the trace; zero if there is none
	Parent  [8]byte  // the caller's span
	Sampled bool     // the trace is being recorded
}
