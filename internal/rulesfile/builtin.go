package rulesfile

import userprofile "weft/examples/user-profile"

// Builtin returns the rules that weft serves without a rules file: those of examples/user-profile, whose text is part of
// the program. It has no warnings, since nobody can change that text. Each call returns a File of its own. It panics if
// the text has errors, which a test of this package rules out.
func Builtin() *File {
	f, err := Parse("built-in rules", userprofile.Rules)
	if err != nil {
		panic(err)
	}
	f.Warnings = nil
	return f
}
