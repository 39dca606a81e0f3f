package extproc

import (
	"sync/atomic"

	"weft/enrich"
)

// Ruleset is the rules in force, with what is learned while they are: other rules start without it. It is made by
// [NewRuleset].
type Ruleset struct {
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
