// Package userprofile holds the example that weft serves when it is given no rules file.
package userprofile

import _ "embed"

// Rules is the text of the rules file.
//
//go:embed rules.yaml
var Rules []byte
