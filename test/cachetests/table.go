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
	Depends  Outcome = "depends"  // on another case, which fails
	Excluded Outcome = "excluded" // weft, or this replay of the suite, does not have what the case is about
)

// Table has the outcomes of all cases.
type Table struct {
	Suites   Suites
	Errors   map[string]error  // by the identifier of the case, as Run returned them
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
		return Fails, cmp.Or(t.Reasons[c.ID], err.Error())
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
	for _, s := range t.Suites.Suites {
		fmt.Fprintf(&lines, "\n%s\n", s.ID)
		for i := range s.Tests {
			c := &s.Tests[i]
			if c.BrowserOnly {
				continue
			}
			outcome, note := t.Outcome(s.ID, c)
			counts[c.Kind][outcome]++
			line := fmt.Sprintf("  %-9s %-9s %s", outcome, c.Kind, c.ID)
			if note != "" {
				line += ": " + note
			}
			fmt.Fprintln(&lines, line)
		}
	}
	for _, kind := range []Kind{Required, Optimal} {
		n := counts[kind]
		fmt.Fprintf(&b, "%-9s %3d hold, %d fail, %d depend on a case that fails or is excluded, %d excluded\n",
			kind, n[Holds], n[Fails], n[Depends], n[Excluded])
	}
	n := counts[Check]
	fmt.Fprintf(&b, "%-9s %3d yes, %d no, %d fail, %d depend on a case that is no or excluded, %d excluded\n",
		Check, n[Yes], n[No], n[Fails], n[Depends], n[Excluded])
	b.WriteString("\nRequired cases of other caches, from the suite's results:\n")
	for _, other := range t.Suites.Others {
		fmt.Fprintf(&b, "%-13s %3d hold, %d fail\n", other.Name, other.Pass, other.Fail)
	}
	return b.String() + lines.String()
}
