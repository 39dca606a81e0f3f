package enrich

import (
	"fmt"
	"strings"
)

// Param is a parameter of a path or a query.
type Param struct {
	Name string
	Type Type // Int64, String, ObjectID or UUID; 0 where it is not said
}

// Template is a path with parameters in braces, one in a segment at most: /shops/{shop:string}/orders/{id:int64}.
type Template struct {
	text     string
	segments []Segment
}

// Segment is what stands between two slashes of a template.
type Segment struct {
	Prefix, Suffix string // around the parameter; without one, the whole segment is in Prefix
	HasParam       bool
	Param          Param
}

// ParseTemplate reads a template. Types are optional here.
func ParseTemplate(text string) (Template, error) {
	if !strings.HasPrefix(text, "/") {
		return Template{}, fmt.Errorf("the path %q does not begin with a slash", text)
	}
	if strings.ContainsAny(text, "?# \\%") {
		return Template{}, fmt.Errorf("the path %q has a character that no path of a rule has (one of ?, #, %%, \\ and space)", text)
	}
	if i := strings.IndexFunc(text, isNoPath); i >= 0 {
		return Template{}, fmt.Errorf("the path %q has the character %q, which no request has there as it is", text, []rune(text[i:])[0])
	}
	t := Template{text: text}
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text[1:], "/") {
		s, err := parseSegment(part)
		if err != nil {
			return Template{}, err
		}
		if s.HasParam && seen[s.Param.Name] {
			return Template{}, fmt.Errorf("the parameter {%s} is there twice", s.Param.Name)
		}
		seen[s.Param.Name] = true
		t.segments = append(t.segments, s)
	}
	return t, nil
}

// Literal is what all paths of the template begin with: everything up to the slash before the first parameter or, without
// one, the whole path.
func (t Template) Literal() string {
	brace := strings.IndexByte(t.text, '{')
	if brace < 0 {
		return t.text
	}
	return t.text[:strings.LastIndexByte(t.text[:brace], '/')+1]
}

// isNoPath reports whether a character is encoded in every path (RFC 3986, section 3.3); braces are the template's.
func isNoPath(c rune) bool {
	return c <= ' ' || c > '~' || strings.ContainsRune("\"<>^`|", c)
}

func parseSegment(part string) (Segment, error) {
	prefix, rest, hasParam := strings.Cut(part, "{")
	if !hasParam {
		if strings.Contains(part, "}") {
			return Segment{}, fmt.Errorf("a brace is not opened in %q", part)
		}
		return Segment{Prefix: part}, nil
	}
	inner, suffix, closed := strings.Cut(rest, "}")
	switch {
	case !closed:
		return Segment{}, fmt.Errorf("a brace is not closed in %q", part)
	case strings.ContainsAny(suffix, "{}") || strings.Contains(prefix, "}") || strings.Contains(inner, "{"):
		return Segment{}, fmt.Errorf("%q has more than one parameter; there can be one between two slashes", part)
	}
	name, typeName, hasType := strings.Cut(inner, ":")
	if !isName(name) {
		return Segment{}, fmt.Errorf("{%s} is no parameter; write {name:type} with letters, digits and _ in the name", inner)
	}
	s := Segment{Prefix: prefix, Suffix: suffix, HasParam: true, Param: Param{Name: name}}
	if hasType {
		switch typeName {
		case "int64":
			s.Param.Type = Int64
		case "string":
			s.Param.Type = String
		case "objectid":
			s.Param.Type = ObjectID
		case "uuid":
			s.Param.Type = UUID
		default:
			return Segment{}, fmt.Errorf("{%s} has an unknown type; a parameter is of type int64, string, uuid or objectid", inner)
		}
	}
	return s, nil
}

func isName(s string) bool {
	for i, c := range s {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

// mustTemplate is ParseTemplate for rules that are made in Go.
func mustTemplate(text string) Template {
	t, err := ParseTemplate(text)
	if err != nil {
		panic(err)
	}
	return t
}

// String returns the template as it was written.
func (t Template) String() string { return t.text }

// IsZero reports whether there is no template.
func (t Template) IsZero() bool { return t.text == "" }

// Segments returns what stands between the slashes.
func (t Template) Segments() []Segment { return t.segments }

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

// Match reports whether path has the form of the template, and appends the parameters' values to dst. See [ParseParam]
// for what a parameter may be.
func (t Template) Match(dst []Value, path string) ([]Value, bool) {
	for i := range t.segments {
		s := &t.segments[i]
		rest, ok := strings.CutPrefix(path, "/")
		if !ok {
			return dst, false
		}
		part := rest
		path = ""
		if end := strings.IndexByte(rest, '/'); end >= 0 {
			part, path = rest[:end], rest[end:]
		}
		if !s.HasParam {
			if part != s.Prefix {
				return dst, false
			}
			continue
		}
		if len(part) < len(s.Prefix)+len(s.Suffix) || !strings.HasPrefix(part, s.Prefix) || !strings.HasSuffix(part, s.Suffix) {
			return dst, false
		}
		v, ok := ParseParam(s.Param.Type, part[len(s.Prefix):len(part)-len(s.Suffix)])
		if !ok {
			return dst, false
		}
		dst = append(dst, v)
	}
	return dst, path == ""
}
