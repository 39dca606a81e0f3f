// Package rulesfile parses the rules file (YAML) and reports all errors in it.
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
	Warnings Errors // valid but probably not intended
	Hash     string // of Text, to identify the version
	Text     []byte
}

// Envoy is the envoy section of a rules file. Missing values have the defaults of package defaults.
type Envoy struct {
	Legacy            string // host:port; empty if not set
	LegacyIdleTimeout time.Duration
	RouteTimeout      time.Duration
	MessageTimeout    time.Duration
	Retries           uint32
}

// Load reads and parses a rules file. If the text is invalid, the error is of type [Errors].
func Load(name string) (*File, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("rules file: %w", err)
	}
	return Parse(name, text)
}

// Parse parses the text of a rules file. The name is for errors. If the text is invalid, the error is of type [Errors].
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

// Builtin returns the rules that weft uses without a rules file: those of examples/user-profile, which are embedded.
// Warnings is nil, because users cannot change the text. Each call returns a new File. Builtin panics if the text is
// invalid; a test ensures that it is not.
func Builtin() *File {
	f, err := Parse("built-in rules", userprofile.Rules)
	if err != nil {
		panic(err)
	}
	f.Warnings = nil
	return f
}
