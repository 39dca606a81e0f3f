package enrich

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Param is a parameter of a path or a query.
type Param struct {
	Name string
	Type Type // one of ParamTypes; 0 if not set
}

// Template is a path with parameters in braces, at most one in a segment: /shops/{shop:string}/orders/{id:int64}.
type Template struct {
	text     string
	segments []Segment
}

// Segment is the part of a template between two slashes.
type Segment struct {
	Prefix, Suffix string // around the parameter; without one, Prefix is the whole segment
	HasParam       bool
	Param          Param
}

// ParseTemplate parses a template. Types are optional. If the only errors are unknown types, it also returns the
// template, with type 0 for them. The error may have several lines, one per segment.
func ParseTemplate(text string) (Template, error) {
	switch i := strings.IndexFunc(text, isNotInPaths); {
	case !strings.HasPrefix(text, "/"):
		return Template{}, fmt.Errorf("the path %q does not begin with a slash", text)
	case i >= 0:
		c := []rune(text[i:])[0]
		return Template{}, fmt.Errorf("the path %q contains %q; use printable ASCII without query and percent-encoding",
			text, c)
	}
	t := Template{text: text}
	seen := map[string]bool{}
	var errs []error
	isBroken := false
	for part := range strings.SplitSeq(text[1:], "/") {
		s, err := parseSegment(part)
		if err == nil && s.HasParam && seen[s.Param.Name] {
			err = fmt.Errorf("duplicate parameter {%s}", s.Param.Name)
		}
		if err != nil {
			errs = append(errs, err)
			isBroken = isBroken || !errors.As(err, new(typeError))
		}
		seen[s.Param.Name] = true
		t.segments = append(t.segments, s)
	}
	if isBroken {
		t = Template{}
	}
	return t, errors.Join(errs...)
}

// isNotInPaths reports whether a character is not allowed in a path: clients encode it (RFC 3986, section 3.3), it
// begins a query or a fragment, or servers interpret it differently (\ and %). Braces belong to the template.
func isNotInPaths(c rune) bool {
	return c <= ' ' || c > '~' || strings.ContainsRune("\"<>^`|?#\\%", c)
}

// typeError is the error for an unknown type of a parameter.
type typeError struct{ param, name string }

func (e typeError) Error() string {
	return fmt.Sprintf("{%s:%s}: unknown type %q; use one of %s", e.param, e.name, e.name, TypeNames(ParamTypes()))
}

func parseSegment(part string) (Segment, error) {
	m := regexp.MustCompile(`^([^{}]*)(?:{([A-Za-z_][A-Za-z0-9_]*)(:[^{}]*)?})?([^{}]*)$`).FindStringSubmatch(part)
	if m == nil {
		return Segment{}, fmt.Errorf("%q: write at most one parameter, {name:type}; names have letters, digits and _",
			part)
	}
	s := Segment{Prefix: m[1], Suffix: m[4], HasParam: m[2] != "", Param: Param{Name: m[2]}}
	if typeName, hasType := strings.CutPrefix(m[3], ":"); hasType {
		t, _ := ParseType(typeName)
		if !slices.Contains(ParamTypes(), t) {
			return s, typeError{m[2], typeName}
		}
		s.Param.Type = t
	}
	return s, nil
}

// String returns the text of the template.
func (t Template) String() string { return t.text }

// IsZero reports whether t is the zero Template.
func (t Template) IsZero() bool { return t.text == "" }

// Segments returns the parts between the slashes.
func (t Template) Segments() []Segment { return t.segments }

// Literal returns the literal prefix of the template: up to the slash before the first parameter or, without
// parameters, the whole path.
func (t Template) Literal() string {
	brace := strings.IndexByte(t.text, '{')
	if brace < 0 {
		return t.text
	}
	return t.text[:strings.LastIndexByte(t.text[:brace], '/')+1]
}

// Params returns the parameters in their order.
func (t Template) Params() []Param {
	var params []Param
	for _, s := range t.segments {
		if s.HasParam {
			params = append(params, s.Param)
		}
	}
	return params
}

// Expand returns the path of t with the parameters of another template, from, in the order of that one.
func (t Template) Expand(from Template, params []Value) string {
	var path strings.Builder
	names := from.Params()
	for _, s := range t.segments {
		path.WriteString("/" + s.Prefix)
		if s.HasParam {
			i := slices.IndexFunc(names, func(p Param) bool { return p.Name == s.Param.Name })
			path.WriteString(params[i].String())
		}
		path.WriteString(s.Suffix)
	}
	return path.String()
}

// Match reports whether path matches the template, and appends the values of the parameters to dst. See [ParseParam]
// for valid values.
func (t Template) Match(dst []Value, path string) ([]Value, bool) {
	for i := range t.segments {
		rest, ok := strings.CutPrefix(path, "/")
		if !ok {
			return dst, false
		}
		part := rest
		path = ""
		if end := strings.IndexByte(rest, '/'); end >= 0 {
			part, path = rest[:end], rest[end:]
		}
		if dst, ok = t.segments[i].match(dst, part); !ok {
			return dst, false
		}
	}
	return dst, path == ""
}

func (s *Segment) match(dst []Value, part string) ([]Value, bool) {
	if !s.HasParam {
		return dst, part == s.Prefix
	}
	text, hasPrefix := strings.CutPrefix(part, s.Prefix)
	text, hasSuffix := strings.CutSuffix(text, s.Suffix)
	if !hasPrefix || !hasSuffix {
		return dst, false
	}
	v, ok := ParseParam(s.Param.Type, text)
	if !ok {
		return dst, false
	}
	return append(dst, v), true
}
