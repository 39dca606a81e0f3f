package module

import "weft/enrich"

// handlePanic passes the response if a callback has panicked. It must be deferred.
func (f *Filter) handlePanic(next *Next) {
	if f.recovered(recover()) {
		*next = Continue
	}
}

// recovered reports whether value is a recovered panic. If it is, recovered ends the exchange.
func (f *Filter) recovered(value any) (isPanic bool) {
	err := enrich.AsPanic(value)
	if err == nil {
		return false
	}
	isPanic = true // also if Report panics
	if f.read != nil {
		f.read.Stop()
	}
	f.config.panicked(f.report.Rule, err)
	if !f.reported { // else Report panicked
		defer func() { f.recovered(recover()) }() // of Report
		f.finish(enrich.Outcome{Disposition: enrich.Passed, Reason: enrich.Panicked}, err)
	}
	return isPanic
}

// panicked calls Panicked. It drops a panic of Panicked itself.
func (c *Config) panicked(rule string, err *enrich.PanicError) {
	if c.Panicked != nil {
		defer func() { _ = recover() }()
		c.Panicked(rule, err)
	}
}
