// Package userprofile embeds the built-in rules, which weft uses without a rules file.
package userprofile

import _ "embed"

// Rules is the text of the rules file.
//
//go:embed rules.yaml
var Rules []byte
