package extproc

import (
	"fmt"
	"strings"
	"time"
)

// Authority is what Envoy's configuration tells weft with each exchange, as labels of the call's :authority
// (envoy_grpc.authority), such as "budget-900ms.rules-0123456789ab.weft". There it costs nothing: with each request Envoy copies and
// hashes the configuration of the service, so that initial_metadata, the usual place, takes a twentieth of its time.
type Authority struct {
	// Budget is how long weft may keep the filter waiting. It belongs a little below the filter's message_timeout, after
	// which Envoy would give up on weft and let the legacy response pass. Zero is not told: weft has no timeout of its own.
	Budget time.Duration

	// Rules says for which rules the configuration was made (Ruleset.EnvoyConfig); empty is not told.
	Rules string
}

const (
	budgetLabel = "budget-"
	rulesLabel  = "rules-"
)

// String spells an Authority. The budget is exact to a microsecond.
func (a Authority) String() string {
	var b strings.Builder
	switch us := a.Budget.Microseconds(); {
	case us == 0:
	case us%1000 == 0:
		fmt.Fprintf(&b, "%s%dms.", budgetLabel, us/1000)
	default:
		fmt.Fprintf(&b, "%s%dus.", budgetLabel, us)
	}
	if a.Rules != "" {
		b.WriteString(rulesLabel + a.Rules + ".")
	}
	return b.String() + "weft"
}

// ParseAuthority reads what is told in an :authority. Labels that are none are left out.
func ParseAuthority(s string) (a Authority) {
	for label := range strings.SplitSeq(s, ".") {
		if value, ok := strings.CutPrefix(label, budgetLabel); ok {
			if d, err := time.ParseDuration(value); err == nil && d > 0 {
				a.Budget = d
			}
		} else if value, ok := strings.CutPrefix(label, rulesLabel); ok {
			a.Rules = value
		}
	}
	return a
}
