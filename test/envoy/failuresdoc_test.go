package envoy_test

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/failures.md")

//go:embed failures.md.tmpl
var failuresTemplate string

// TestFailuresDoc compares docs/failures.md with failures.md.tmpl and the cases. In the template, a line such as
//
//	| legacy-5xx | The legacy service answers 5xx |
//
// names a directory of testdata/cases. Its row in the document says what the client gets, and x-weft, as the cases of
// that directory do. The test fails if a directory is missing, or if its cases differ in what the client gets.
func TestFailuresDoc(t *testing.T) {
	causes := readCauses(t)
	var doc strings.Builder
	for line := range strings.Lines(failuresTemplate) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cells) != 2 {
			doc.WriteString(line)
			continue
		}
		dir := strings.TrimSpace(cells[0])
		c, ok := causes[dir]
		if !ok {
			t.Errorf("failures.md.tmpl: there is no directory testdata/cases/%s, or it is named twice", dir)
			continue
		}
		delete(causes, dir)
		fmt.Fprintf(&doc, "| %s | %s | %s | [%s](../test/envoy/testdata/cases/%s) |\n",
			strings.TrimSpace(cells[1]), c.got(), c.marks(), plural(c.cases), dir)
	}
	reasons := regexp.MustCompile(`Reason = "([a-z-]+)"`)
	for _, reason := range reasons.FindAllStringSubmatch(readFile(t, "../../enrich/verdict.go"), -1) {
		if !strings.Contains(doc.String(), reason[1]) {
			t.Errorf("failures.md.tmpl lacks the reason %s", reason[1])
		}
	}
	for dir := range causes {
		t.Errorf("failures.md.tmpl does not name the directory testdata/cases/%s", dir)
	}
	const path = "../../docs/failures.md"
	if *update {
		if err := os.WriteFile(path, []byte(doc.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != doc.String() {
		t.Errorf("docs/failures.md is out of date; run go test ./test/envoy -run TestFailuresDoc -update (%v)", err)
	}
}

// cause is a directory of cases, which all have the same kind of answer.
type cause struct {
	cases   int
	answers map[string]answerKind // by route
	marked  []string              // values of x-weft
}

// answerKind is what the client gets: statuses, and the kind of body.
type answerKind struct {
	statuses []string
	body     string
}

// readCauses returns the directories of testdata/cases. All cases must be in one.
func readCauses(t *testing.T) map[string]*cause {
	t.Helper()
	if strays, _ := filepath.Glob("testdata/cases/*.txtar"); len(strays) > 0 {
		t.Errorf("move %v into the directory of their cause; failures.md.tmpl lists the directories", strays)
	}
	files, err := filepath.Glob("testdata/cases/*/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	causes := map[string]*cause{}
	for _, file := range files {
		c, err := readCase(file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		dir := filepath.Base(filepath.Dir(file))
		if causes[dir] == nil {
			causes[dir] = &cause{answers: map[string]answerKind{}}
		}
		if err := causes[dir].add(c); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	return causes
}

func (c *cause) add(tc testCase) error {
	c.cases++
	for _, route := range routes {
		answer := tc.answers[route.name]
		status, body := kindOf(answer)
		kind, ok := c.answers[route.name]
		if ok && kind.body != body {
			return fmt.Errorf("%s gets %q, other cases of the directory get %q", route.name, body, kind.body)
		}
		kind.body, kind.statuses = body, add(kind.statuses, status)
		c.answers[route.name] = kind
		for _, h := range parseHeaders(answer) {
			if h[0] == "x-weft" && h[1] != "-" {
				c.marked = add(c.marked, "`"+h[1]+"`")
			}
		}
	}
	return nil
}

// kindOf returns the status of an answer and the kind of its body.
func kindOf(answer string) (status, kind string) {
	head, body, _ := strings.Cut(answer, "\n\n")
	status, _, _ = strings.Cut(head, "\n")
	status = strings.TrimSpace(status)
	switch {
	case strings.Contains(answer, "x-weft: passed"), strings.Contains(answer, "x-weft: -"):
		return "", "unchanged"
	case strings.HasPrefix(body, `{"detail"`):
		return status, "`detail`"
	case strings.HasPrefix(body, `{"core":null`):
		return status, "`core: null`"
	case strings.Contains(body, `,"extension":null,`):
		return status, "`extension: null`"
	case strings.HasPrefix(body, `{"core":`):
		return status, "composite"
	default:
		return status, "the legacy service's"
	}
}

// got returns what clients get on both routes.
func (c *cause) got() string {
	v1, v3 := c.answers["v1"].String(), c.answers["v3"].String()
	if v1 == v3 {
		return v1
	}
	return "v1: " + v1 + "; v3: " + v3
}

func (k answerKind) String() string {
	if k.body == "unchanged" {
		return k.body
	}
	return strings.Join(k.statuses, ", ") + " " + k.body
}

func (c *cause) marks() string {
	if len(c.marked) == 0 {
		return "none"
	}
	return strings.Join(c.marked, ", ")
}

func add(list []string, item string) []string {
	if slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}

func plural(cases int) string {
	if cases == 1 {
		return "1 case"
	}
	return fmt.Sprint(cases, " cases")
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
