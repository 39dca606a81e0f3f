package cachetests

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Outcome is what a case showed.
type Outcome string

// Outcomes of cases of all kinds. Those of kind Check are questions, so that the answer is yes or no.
const (
	Holds    Outcome = "holds"
	Fails    Outcome = "fails"
	Yes      Outcome = "yes"
	No       Outcome = "no"
	Depends  Outcome = "depends"  // on another case, which neither holds nor is yes: the suite says nothing then
	Excluded Outcome = "excluded" // weft, or this replay of the suite, does not have what the case is about
)

// Table has the outcomes of all cases.
type Table struct {
	Suites   Suites
	Errors   map[string]error  // by the identifier of the case, as RunAll returned them
	Excluded map[string]string // why, by the identifier of the case or the suite
	Reasons  map[string]string // why a required case fails
}

// Outcome returns the outcome of a case, and what there is to say about it.
func (t *Table) Outcome(suite string, c *Case) (outcome Outcome, note string) {
	if why := cmp.Or(t.Excluded[c.ID], t.Excluded[suite]); why != "" {
		return Excluded, why
	}
	for _, id := range c.DependsOn {
		suite, other := t.find(id)
		if outcome, _ := t.Outcome(suite, other); outcome != Holds && outcome != Yes {
			if note = "on " + id; t.Errors[c.ID] == nil {
				note += "; by itself it holds"
			}
			return Depends, note
		}
	}
	switch err := t.Errors[c.ID]; {
	case err == nil && c.Kind == Check:
		return Yes, ""
	case err == nil:
		return Holds, ""
	case c.Kind == Check && !isSetup(err):
		return No, ""
	default:
		note := t.Reasons[c.ID]
		if f := (*failure)(nil); note == "" && errors.As(err, &f) {
			note = f.String()
		}
		return Fails, note
	}
}

// isSetup reports whether a case failed before what it is about.
func isSetup(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.isSetup
}

func (t *Table) find(id string) (suite string, c *Case) {
	for _, s := range t.Suites.Suites {
		for i := range s.Tests {
			if s.Tests[i].ID == id {
				return s.ID, &s.Tests[i]
			}
		}
	}
	panic("no case " + id) // not in the suite
}

// String returns the table: a summary, and a line for each case.
func (t *Table) String() string {
	var b, lines strings.Builder
	counts := map[Kind]map[Outcome]int{Required: {}, Optimal: {}, Check: {}}
	alone := map[Kind]int{} // cases that depend on others, and hold by themselves
	for _, s := range t.Suites.Suites {
		fmt.Fprintf(&lines, "\n%s\n", s.ID)
		for i := range s.Tests {
			c := &s.Tests[i]
			if c.BrowserOnly {
				continue
			}
			outcome, note := t.Outcome(s.ID, c)
			counts[c.Kind][outcome]++
			if outcome == Depends && t.Errors[c.ID] == nil {
				alone[c.Kind]++
			}
			line := fmt.Sprintf("  %-9s %-9s %s", outcome, c.Kind, c.ID)
			if note != "" {
				line += ": " + note
			}
			fmt.Fprintln(&lines, line)
		}
	}
	for _, kind := range []Kind{Required, Optimal, Check} {
		n := counts[kind]
		fmt.Fprintf(&b, "%-9s ", kind)
		if kind == Check {
			fmt.Fprintf(&b, "%3d yes, %d no, ", n[Yes], n[No])
		} else {
			fmt.Fprintf(&b, "%3d hold, ", n[Holds])
		}
		fmt.Fprintf(&b, "%d fail, %d depend on others (%d hold by themselves), %d excluded\n",
			n[Fails], n[Depends], alone[kind], n[Excluded])
	}
	b.WriteString("\nRequired cases of other caches, from the suite's results:\n")
	for _, other := range t.Suites.Others {
		fmt.Fprintf(&b, "%-13s %3d hold, %d fail\n", other.Name, other.Pass, other.Fail)
	}
	return b.String() + lines.String()
}
