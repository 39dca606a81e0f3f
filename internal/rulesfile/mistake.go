package rulesfile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is something wrong in a rules file, or worth a warning: where, what, and what would be right.
type Mistake struct {
	position
	Path string // of the value, for example rules[0].match.path; empty for the file
	Text string
}

// Mistakes are all that is wrong with a file. As an error it has a line for each: file:line:column: path: text.
type Mistakes []Mistake

// In writes a line for each mistake.
func (m Mistakes) In(file string) string {
	var b strings.Builder
	for i, mistake := range m {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "%s:%d:%d: ", file, mistake.line, mistake.column)
		if mistake.Path != "" {
			b.WriteString(mistake.Path + ": ")
		}
		b.WriteString(mistake.Text)
	}
	return b.String()
}

// sorted returns the mistakes in the order of the file, each once.
func (m Mistakes) sorted() Mistakes {
	slices.SortStableFunc(m, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(m)
}

// Error is what [Load] returns for a file with mistakes.
type Error struct {
	File     string
	Mistakes Mistakes
}

func (e *Error) Error() string { return e.Mistakes.In(e.File) }

// pathOf writes the steps to a value.
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

// nearest says which of the names was meant, or "".
func nearest(got string, names []string) string {
	best, distance := "", len(got)/3+1
	for _, name := range names {
		if d := levenshtein(strings.ToLower(got), strings.ToLower(name)); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// levenshtein counts the letters to change, add or leave out between a and b.
func levenshtein(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// oneOf lists names: "a, b or c".
func oneOf(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
