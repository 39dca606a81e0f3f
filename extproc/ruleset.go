package extproc

import (
	"sync/atomic"
	"time"

	"weft/enrich"
)

// Ruleset is the rules in force, with what is learned while they are: other rules start without it. It is made by
// [NewRuleset].
type Ruleset struct {
	// Budget is how long an answer may wait for MongoDB once the core is there: a little less than the message_timeout of
	// Envoy's filter, after which Envoy lets the legacy response pass. Envoy can send another one ([BudgetHeader]). 0 has
	// no end.
	Budget time.Duration

	rules       enrich.Rules
	envoyConfig string
	check       selfCheck
	large       map[*enrich.Rule]*atomic.Bool // an answer of the rule was larger than Envoy's buffer
}

// NewRuleset prepares rules. envoyConfig identifies the Envoy configuration that they need; empty if it is not known.
func NewRuleset(rules []*enrich.Rule, envoyConfig string) *Ruleset {
	r := &Ruleset{rules: enrich.NewRules(rules), envoyConfig: envoyConfig, large: map[*enrich.Rule]*atomic.Bool{}}
	for _, rule := range rules {
		r.large[rule] = new(atomic.Bool)
	}
	return r
}

// EnvoyConfig identifies the Envoy configuration that the rules need.
func (r *Ruleset) EnvoyConfig() string { return r.envoyConfig }

// Rules returns the rules.
func (r *Ruleset) Rules() enrich.Rules { return r.rules }
