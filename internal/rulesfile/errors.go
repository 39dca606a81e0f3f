package rulesfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hbollon/go-edlib"
)

// Error is an error or a warning in a rules file: its position, what is wrong, and what to write instead.
type Error struct {
	File string
	position
	Path string // of the value, for example rules[0].match.path; empty for the whole file
	Text string
}

// Error returns file:line:column: path: text.
func (e Error) Error() string {
	if e.Path != "" {
		e.Path += ": "
	}
	return fmt.Sprintf("%s:%d:%d: %s%s", e.File, e.line, e.column, e.Path, e.Text)
}

// Errors are all errors in a rules file.
type Errors []Error

// Error returns a line for each error.
func (e Errors) Error() string {
	var lines []string
	for _, err := range e {
		lines = append(lines, err.Error())
	}
	return strings.Join(lines, "\n")
}

// in sets the file name and returns the errors sorted by position, without duplicates.
func (e Errors) in(file string) Errors {
	for i := range e {
		e[i].File = file
	}
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(e)
}

// pathOf formats the steps to a value, for example rules[0].match.path.
func pathOf(steps []string) string {
	var b strings.Builder
	for _, s := range steps {
		switch {
		case s != "" && strings.Trim(s, "0123456789") == "":
			b.WriteString("[" + s + "]")
		case b.Len() == 0:
			b.WriteString(s)
		default:
			b.WriteString("." + s)
		}
	}
	return b.String()
}

// suggest returns what to write instead of an unknown name.
func suggest(got string, names []string) string {
	nearest, distance := "", len(got)/3+1
	for _, name := range names {
		if d := edlib.LevenshteinDistance(strings.ToLower(got), strings.ToLower(name)); d < distance {
			nearest, distance = name, d
		}
	}
	if nearest != "" {
		return fmt.Sprintf("did you mean %q?", nearest)
	}
	return "use one of " + strings.Join(names, ", ")
}
