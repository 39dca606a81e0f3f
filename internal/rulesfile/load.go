// Package rulesfile parses the file in which users write their rules (YAML), and reports all errors in it.
package rulesfile

import (
	"crypto/sha256"
	"fmt"
	"os"
	"time"

	"weft/enrich"
	userprofile "weft/examples/user-profile"
)

// File is a rules file without errors.
type File struct {
	Rules    []*enrich.Rule
	Envoy    Envoy
	Warnings Errors // about what is allowed but may not be intended
	Hash     string // of the text, to distinguish versions
	Text     []byte
}

// Envoy is what a rules file says about Envoy's configuration, with the defaults of package defaults.
type Envoy struct {
	Legacy            string // host:port; empty if it is not given
	LegacyIdleTimeout time.Duration
	RouteTimeout      time.Duration
	MessageTimeout    time.Duration
	Retries           uint32
}

// Load reads and parses a rules file. The error is of type [Errors] if they are in the text.
func Load(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("rules file: %w", err)
	}
	return Parse(name, text)
}

// Parse parses the text of a rules file. The name is for messages.
func Parse(name string, text []byte) (*File, error) {
	root, errs := parse(text)
	if len(errs) > 0 {
		return nil, errs.in(name)
	}
	errs = checkSchema(root)
	b := builder{root: root, errs: errs, schemaErrs: errs}
	f := &File{Text: text, Envoy: b.envoy(), Rules: b.rules()}
	if len(b.errs) > 0 {
		return nil, b.errs.in(name)
	}
	b.warnShadowed(f.Rules)
	f.Warnings = b.warnings.in(name)
	f.Hash = fmt.Sprintf("%x", sha256.Sum256(text))[:12]
	return f, nil
}

// Builtin returns the rules that weft serves without a rules file: those of examples/user-profile, whose text is part
// of the program. It has no warnings, since users cannot change that text. Each call returns a new File. It panics if
// the text has errors, which a test of this package excludes.
func Builtin() *File {
	f, err := Parse("built-in rules", userprofile.Rules)
	if err != nil {
		panic(err)
	}
	f.Warnings = nil
	return f
}
