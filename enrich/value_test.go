package enrich

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTypeNames(t *testing.T) {
	for _, typ := range FieldTypes() {
		if got, ok := ParseType(typ.String()); !ok || got != typ {
			t.Errorf("ParseType(%q) = %d, %t; want %d", typ, got, ok, typ)
		}
	}
	for _, name := range []string{"", "Int64", "strng"} {
		if got, ok := ParseType(name); ok || got != 0 {
			t.Errorf("ParseType(%q) = %v, %t", name, got, ok)
		}
	}
	for _, typ := range slices.Concat(ParamTypes(), CoreTypes()) {
		if !slices.Contains(FieldTypes(), typ) {
			t.Errorf("%v is not among all types", typ)
		}
	}
}

// FuzzPattern compares the two implementations of the grammar of parameters: Envoy's regular expression and the parser.
// They differ only as the doc comment of Pattern says.
func FuzzPattern(f *testing.F) {
	for _, seed := range []string{
		"", "0", "-0", "7", "007", "+5", "-5", "9223372036854775807", "9223372036854775808", "-9223372036854775808",
		"-9223372036854775809", "10000000000000000000", "1e3", "٧", ".", "..", "...", "a-b_c.d~e", "a b",
		"a%20b", "a/b", "é", "a\n",
		"0123456789abcdef01234567", "0123456789ABCDEF01234567", "0123456789abcdef0123456", "0123456789abcdef01234567-",
		"01234567-89ab-cdef-0123-456789abcdef", "01234567-89AB-cdef-0123-456789abcdef",
		"01234567089ab-cdef-0123-456789abcde",
		"01234567-89ab-cdef-0123-456789abcdeg", "0123456-789ab-cdef-0123-456789abcdef",
	} {
		f.Add(seed)
	}
	patterns := map[Type]*regexp.Regexp{}
	for _, typ := range ParamTypes() {
		patterns[typ] = regexp.MustCompile(`\A(` + typ.Pattern() + `)\z`)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for typ, pattern := range patterns {
			v, parses := ParseParam(typ, s)
			matches := pattern.MatchString(s)
			isWider := typ == Int64 && len(strings.TrimPrefix(s, "-")) == 19 || typ == String && (s == "." || s == "..")
			if parses && !matches || matches && !parses && !isWider {
				t.Errorf("%v %q: ParseParam %t, Pattern %t", typ, s, parses, matches)
			}
			want := s
			if typ == ObjectID || typ.IsUUID() {
				want = strings.ToLower(s)
			}
			if parses && (v.String() != want || v.Type != typ) {
				t.Errorf("%v %q is parsed as %v %q", typ, s, v.Type, v)
			}
		}
	})
}

// TestInteger: a JSON number is an integer by its value, in any spelling.
func TestInteger(t *testing.T) {
	for number, want := range map[string]bool{
		"7": true, "-7": true, "0": true, "-0": true, "7.0": true, "7e0": true, "0.7e1": true, "70e-1": true,
		"0e999999999": true, "99999999999999999999": true, "9007199254740993.0": true,
		"7.5": false, "7e-1": false, "0.001": false, "1e400": false, "0.001e-9223372036854775808": false,
		"1e-9223372036854775809": false,
	} {
		if _, got, _ := parseInteger(number); got != want {
			t.Errorf("%s is an integer: %t, want %t", number, got, want)
		}
	}
}
