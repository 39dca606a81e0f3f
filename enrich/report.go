package enrich

import "time"

// Report is the result of one exchange, and how long its parts took. Logs, metrics, traces and the proxy's access log
// are made from it. It has no bodies and no keys.
type Report struct {
	Rule    string // empty if no rule matched
	Outcome Outcome
	Err     error // cause of the outcome, from the core, the store or the stream; nil if nothing failed

	Status     int // of the response, from the legacy service or the proxy; 0 if none arrived
	CoreSize   int // bytes of the legacy body that weft received
	AnswerSize int // bytes of the body that weft sent; 0 if it sent none

	Core    CoreUse       // empty if the rule keeps no cores
	CoreAge time.Duration // of a kept core

	Times Times
	Reads []SourceRead // those that the exchange waited for

	Trace     Trace
	RequestID string // value of the x-request-id header, which the client may have set; empty without it
}

// Times are the times of one exchange. Legacy and Added are its whole duration: in Legacy weft waits for the proxy, in
// Added the proxy waits for weft.
type Times struct {
	Began  time.Time     // arrival of the request headers; zero if no message arrived
	Legacy time.Duration // until the response had arrived, as far as weft asked for it; includes delays of the proxy
	Added  time.Duration // that weft added to the client's time
	Waited time.Duration // for the store after the core had arrived; a part of Added
	Read   time.Duration // from the start of the reads until they ended or were abandoned; 0 without reads

	Forwarded time.Duration // since Began, when the request was forwarded to the legacy service; 0 if it was not
	Answered  time.Duration // since Began, when the last part of the response arrived
	Waiting   time.Duration // since Began, when the wait for the store began; 0 without a wait
}

// SourceRead is the read of one source.
type SourceRead struct {
	Source  *Source
	Late    bool     // started after the core had arrived, instead of with the exchange
	Command *Command // nil if the read was abandoned, was a cache hit, or if the store does not report commands
	Cache   CacheStatus
}

// Cache returns the status of the exchange's reads; empty if no source has a cache.
func (r *Report) Cache() (status CacheStatus) {
	for _, read := range r.Reads {
		status = status.join(read.Cache)
	}
	return status
}

// Trace is the trace context of an exchange (W3C Trace Context).
type Trace struct {
	ID      [16]byte // of the trace; zero without one
	Parent  [8]byte  // the caller's span
	Sampled bool
}
