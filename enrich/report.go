package enrich

// Report says what became of one exchange.
type Report struct {
	Rule    string // empty if no rule matched
	Outcome Outcome
	Err     error // what stood behind the outcome: of the core, the store or the stream; nil if nothing did
}
