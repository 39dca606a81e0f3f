package httpcache

import (
	"net/http"
	"strings"
	"time"
)

// directives are those of the Cache-Control fields of a message, by name in lower case (RFC 9111, section 5.2).
type directives map[string]argument

// argument is the argument of a directive. A directive without one has the zero argument.
type argument struct {
	value     string
	hasValue  bool
	isInvalid bool // not as the grammar says, or the directive is there again with another argument
}

// maxSeconds is the value of greater ones (RFC 9111, section 1.2.2).
const maxSeconds = 1 << 31

// parseDirectives parses Cache-Control field lines. A directive that breaks the grammar counts as present with an
// invalid argument, so that what it forbids stays forbidden.
func parseDirectives(lines []string) directives {
	d := directives{}
	for _, member := range splitList(lines) {
		name, a := parseDirective(member)
		if old, ok := d[name]; ok && old != a {
			// "Either the first occurrence should be used or the response should be considered stale" (section 4.2.1).
			a = argument{isInvalid: true}
		}
		d[name] = a
	}
	return d
}

// requestDirectives returns the directives of a request. Pragma counts without Cache-Control only (RFC 9111, section
// 5.4).
func requestDirectives(h http.Header) directives {
	if lines := h["Cache-Control"]; len(lines) > 0 {
		return parseDirectives(lines)
	}
	return parseDirectives(h["Pragma"])
}

// parseDirective parses a directive: token [ "=" ( token / quoted-string ) ].
func parseDirective(s string) (name string, a argument) {
	end := strings.IndexFunc(s, func(r rune) bool { return !isTokenRune(r) })
	if end < 0 {
		return strings.ToLower(s), argument{}
	}
	name, rest := strings.ToLower(s[:end]), s[end:]
	value, ok := strings.CutPrefix(rest, "=")
	if !ok {
		return name, argument{isInvalid: true}
	}
	if unquoted, ok := unquote(value); ok {
		return name, argument{value: unquoted, hasValue: true}
	}
	return name, argument{value: value, hasValue: true, isInvalid: !isToken(value)}
}

func (d directives) has(name string) bool { _, ok := d[name]; return ok }

// hasUnqualified reports whether no-cache or private is there and applies to the whole response, not only to the fields
// that its argument names.
func (d directives) hasUnqualified(name string) bool { return d.has(name) && len(d.fields(name)) == 0 }

// fields returns the fields that no-cache or private names (RFC 9111, sections 5.2.2.4 and 5.2.2.7). If a response
// without them would have another meaning for caches, the directive applies to the whole response: fields is empty.
func (d directives) fields(name string) []string {
	if d[name].isInvalid {
		return nil
	}
	fields := fieldNames([]string{d[name].value})
	for _, field := range fields {
		switch field {
		case "Age", "Cache-Control", "Date", "Expires", "Vary":
			return nil
		}
		if !isToken(field) {
			return nil
		}
	}
	return fields
}

// seconds returns the argument of a directive in seconds, and whether the directive is there. An invalid argument is 0.
func (d directives) seconds(name string) (time.Duration, bool) {
	a, ok := d[name]
	if !ok || a.isInvalid {
		return 0, ok
	}
	seconds, _ := parseSeconds(a.value)
	return seconds, true
}

// maxStale returns how stale a response may be for a request (RFC 9111, section 5.2.1.2).
func (d directives) maxStale() (time.Duration, bool) {
	if a, ok := d["max-stale"]; ok && a == (argument{}) {
		return maxSeconds * time.Second, true
	}
	return d.seconds("max-stale")
}

// forbidsStale reports whether a stale response must not be used (RFC 9111, section 4.2.4). s-maxage has the meaning
// of proxy-revalidate (section 5.2.2.10).
func (d directives) forbidsStale() bool {
	return d.has("must-revalidate") || d.has("proxy-revalidate") || d.has("s-maxage") || d.hasUnqualified("no-cache")
}

// parseSeconds parses delta-seconds (RFC 9111, section 1.2.2).
func parseSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = min(n*10+int(s[i]-'0'), maxSeconds)
	}
	return time.Duration(n) * time.Second, true
}

// splitList returns the members of a list field (RFC 9110, section 5.6.1). A comma within a quoted string does not
// separate. A quote that does not end is no quote.
func splitList(lines []string) []string {
	var members []string
	for _, line := range lines {
		for line != "" {
			var member string
			member, line = cutMember(line)
			if member = strings.Trim(member, " \t"); member != "" {
				members = append(members, member)
			}
		}
	}
	return members
}

// cutMember cuts s at its first comma outside of a quoted string.
func cutMember(s string) (member, rest string) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			return s[:i], s[i+1:]
		case '"':
			i += quotedLen(s[i:]) - 1
		}
	}
	return s, ""
}

// quotedLen returns the length of the quoted string that s begins with; 1 if its end is missing.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 1
}

// unquote returns the value of a quoted string (RFC 9110, section 5.6.4).
func unquote(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || quotedLen(s) != len(s) {
		return "", false
	}
	var b strings.Builder
	for i := 1; i < len(s)-1; i++ {
		if s[i] == '\\' {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), true
}

func isToken(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return !isTokenRune(r) }) < 0
}

// isTokenRune reports whether r may be in a token (RFC 9110, section 5.6.2).
func isTokenRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}
