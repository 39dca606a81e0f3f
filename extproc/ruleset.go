package extproc

import (
	"sync"
	"time"

	"weft/enrich"
)

// Ruleset is a set of rules, with the state that belongs to it; new rules start without that state. Use [NewRuleset].
type Ruleset struct {
	// Budget is how long a response may wait for MongoDB once the core has arrived: slightly less than the
	// message_timeout of Envoy's filter, after which Envoy passes the legacy response. Envoy can override it
	// ([BudgetHeader]). 0 means no limit.
	Budget time.Duration

	rules       enrich.Rules
	envoyConfig string
	check       selfCheck
	large       sync.Map // names of the rules of which a composition exceeded Envoy's buffer
}

// NewRuleset prepares rules. envoyConfig identifies the Envoy configuration that they need; empty if unknown.
func NewRuleset(rules []*enrich.Rule, envoyConfig string) *Ruleset {
	return &Ruleset{rules: enrich.NewRules(rules), envoyConfig: envoyConfig}
}

// EnvoyConfig identifies the Envoy configuration that the rules need.
func (r *Ruleset) EnvoyConfig() string { return r.envoyConfig }

// Rules returns the rules of the set.
func (r *Ruleset) Rules() enrich.Rules { return r.rules }
