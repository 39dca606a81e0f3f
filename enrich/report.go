package enrich

import "time"

// Report describes an exchange that has ended. Logs, metrics, traces and the proxy's access log are derived from it. It
// contains no bodies and no keys.
type Report struct {
	Rule    string // empty if no rule matched
	Outcome Outcome
	Err     error // cause of the outcome, from the core, the store or the stream; nil if nothing failed

	Status     int // of the response from the legacy service or the proxy; 0 without a response
	CoreSize   int // bytes of the legacy body that weft received
	AnswerSize int // bytes of the body that weft composed; 0 if none

	Times Times
	Reads []SourceRead // the reads that were awaited

	Trace     Trace
	RequestID string // from the x-request-id header; empty without it
}

// Times are the times of an exchange. Legacy and Added add up to its duration: during Legacy weft waits for the proxy,
// and during Added the proxy waits for weft.
type Times struct {
	Began  time.Time     // arrival of the request; zero if there is no clock, and then all other times are 0
	Legacy time.Duration // until the response headers, and the body if weft requested it; includes the proxy's own time
	Added  time.Duration // latency that weft added
	Waited time.Duration // for the store, after the core arrived; a part of Added
	Read   time.Duration // from the start of the reads until they ended or were abandoned; 0 if none was awaited

	Forwarded time.Duration // since Began, when the request was forwarded to the legacy service; 0 if it was not
	Answered  time.Duration // since Began, when the last part of the response arrived
	Waiting   time.Duration // since Began, when the wait for the store began; 0 without a wait
}

// Total returns the duration of the exchange.
func (t Times) Total() time.Duration { return t.Legacy + t.Added }

// SourceRead is the read of one source.
type SourceRead struct {
	Source  *Source
	Late    bool     // it started when the core arrived, not with the exchange
	Command *Command // nil if it was abandoned or is unknown
}

// Trace is the trace context of an exchange (W3C Trace Context).
type Trace struct {
	ID      [16]byte // of the trace; zero without one
	Parent  [8]byte  // the caller's span
	Sampled bool
}
