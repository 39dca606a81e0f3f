// Package rulesfile reads the file in which users write their rules (YAML), and says all that is wrong with one.
package rulesfile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"time"

	"weft/enrich"
)

// File is a rules file without mistakes.
type File struct {
	Rules    []*enrich.Rule
	Envoy    Envoy
	Warnings Mistakes // what is no mistake, but may not be meant
	Hash     string   // of the text: tells versions apart
	Text     []byte
}

// Envoy is what a rules file says of Envoy's configuration. What it does not say is zero; Retries is then nil.
type Envoy struct {
	Legacy         string // host:port
	RouteTimeout   time.Duration
	MessageTimeout time.Duration
	Retries        *uint32
}

// Load reads a rules file. The error is an [Error] if there are mistakes in it.
func Load(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("rules file: %w", err)
	}
	return Parse(name, text)
}

// Parse reads the text of a rules file, whose name is for messages.
func Parse(name string, text []byte) (*File, error) {
	root, mistakes := parse(text)
	if len(mistakes) > 0 {
		return nil, &Error{File: name, Mistakes: mistakes.sorted()}
	}
	mistakes = checkSchema(root)
	b := builder{root: root, mistakes: mistakes, broken: mistakes}
	f := &File{Text: text, Envoy: b.envoy(), Rules: b.rules()}
	if len(b.mistakes) > 0 {
		return nil, &Error{File: name, Mistakes: b.mistakes.sorted()}
	}
	b.shadowed(f.Rules)
	f.Warnings = b.warnings.sorted()
	sum := sha256.Sum256(text)
	f.Hash = hex.EncodeToString(sum[:6])
	return f, nil
}

// shadowed warns of rules that no request can come to, since an earlier one takes all of theirs.
func (b *builder) shadowed(rules []*enrich.Rule) {
	for i, later := range rules {
		for _, earlier := range rules[:i] {
			if covers(earlier, later) {
				b.warn([]string{"rules", fmt.Sprint(i), "match"}, "can never match: rule %q above takes all of its requests; put this rule before it", earlier.Name)
				break
			}
		}
	}
}

// covers reports whether each request of one rule is one of another.
func covers(a, b *enrich.Rule) bool {
	for _, method := range b.Methods {
		if !slices.Contains(a.Methods, method) {
			return false
		}
	}
	if a.Host != "" && a.Host != b.Host {
		return false
	}
	for _, q := range a.Query {
		if !slices.Contains(b.Query, q) {
			return false
		}
	}
	as, bs := a.Path.Segments(), b.Path.Segments()
	if len(as) != len(bs) {
		return false
	}
	for i := range as {
		if !coversSegment(as[i], bs[i]) {
			return false
		}
	}
	return true
}

func coversSegment(a, b enrich.Segment) bool {
	switch {
	case !a.HasParam:
		return !b.HasParam && a.Prefix == b.Prefix
	case !b.HasParam:
		template, err := enrich.ParseTemplate("/" + a.Prefix + "{p:" + typeName(a.Param.Type) + "}" + a.Suffix)
		if err != nil {
			return false
		}
		_, ok := template.Match(nil, "/"+b.Prefix)
		return ok
	default:
		wider := a.Param.Type == b.Param.Type || a.Param.Type == enrich.String
		return wider && a.Prefix == b.Prefix && a.Suffix == b.Suffix
	}
}
