package enrich

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Shape defines how a core and its extensions become one JSON text. The zero value is [ShapeComposite].
type Shape uint8

// shapes has the implementation of each Shape. Nothing else depends on a particular one. A new shape is
//   - a file like shape_merge.go, with its Shape and its value of type shape,
//   - a line here,
//   - go test ./internal/rulesfile -update, which adds its name to the JSON Schema and to docs/rules.md.
var shapes = []shape{ //nolint:gochecknoglobals // a table that only a test adds to
	ShapeComposite: composite(),
	ShapeMerge:     merge(),
}

// shape is the implementation of a Shape. It has either head and tail, or object, adds and members. The first kind
// wraps the core in an object, so the core may be null. The second adds members to an object in the core.
type shape struct {
	name    string             // in rules files
	about   string             // description, for the JSON Schema
	options []string           // keys of a rule that not all shapes have: see OptionCoreMember
	sketch  func(*Rule) string // returns an outline of the body, for weft explain

	head func(dst []byte, r *Rule) []byte // appends the bytes before a core
	tail func(dst []byte, p parts) []byte // appends the bytes after a core

	object  func(*Rule) Pointer                            // the object in the core to which members are added
	adds    func(*Rule) []string                           // the names of all members that may be added
	members func(dst []byte, p parts, isEmpty bool) []byte // appends the members; isEmpty: the object has no others
}

// Keys of a rule in rules files that only some shapes have.
const (
	OptionCoreMember  = "members.core" // Rule.Members.Core
	OptionContentType = "content_type" // Rule.ContentType
	OptionMergeAt     = "merge_at"     // Rule.MergeAt
)

// Shapes returns all shapes.
func Shapes() []Shape {
	var all []Shape
	for i := range shapes {
		all = append(all, Shape(i))
	}
	return all
}

// ParseShape returns the shape with a name, and whether there is one.
func ParseShape(name string) (s Shape, ok bool) {
	i := slices.IndexFunc(shapes, func(s shape) bool { return s.name == name })
	return Shape(max(i, 0)), i >= 0
}

// String returns the name of s in rules files.
func (s Shape) String() string { return shapes[s].name }

// About returns a description of s, such as "composite: an object with …".
func (s Shape) About() string { return shapes[s].name + ": " + shapes[s].about }

// Options returns the keys of a rule that s has and other shapes may not have, such as [OptionMergeAt].
func (s Shape) Options() []string { return shapes[s].options }

func (r *Rule) shape() *shape { return &shapes[r.Shape] }

// AllowsMissingCore reports whether the core may be null. Otherwise a failure of the legacy service passes, and a core
// cannot be streamed.
func (r *Rule) AllowsMissingCore() bool { return r.wrapsCore() && r.List == nil }

// omitsCore reports whether the core is no member of the answer, because the request does not select it.
func (r *Rule) omitsCore() bool { return r.selected != nil && r.selected.noCore }

// Sketch returns an outline of the body, for display.
func (r *Rule) Sketch() string {
	one := r.shape().sketch(r)
	switch {
	case r.List == nil:
		return one
	case *r.List == "":
		return "the list, each element as " + one
	default:
		return fmt.Sprintf("the list at %s, each element as %s", *r.List, one)
	}
}

// sketchCore returns an outline of the object that the shape shows or extends.
func (r *Rule) sketchCore() string {
	if r.selected == nil || r.selected.members == nil {
		return "…"
	}
	var members []string
	for _, name := range slices.Sorted(maps.Keys(r.selected.members)) {
		members = append(members, fmt.Sprintf("%q: …", name))
	}
	return "{" + strings.Join(members, ", ") + "}"
}

// sketchExtensions returns an outline of the extensions as members.
func (r *Rule) sketchExtensions() string {
	var members []string
	for _, s := range r.Sources {
		members = append(members, fmt.Sprintf("%q: …", s.Name))
	}
	return strings.Join(members, ", ")
}

// appendUnit appends core u of text with its extensions.
func (s *shape) appendUnit(dst, text []byte, u *unit, p parts) []byte {
	if s.head != nil {
		return s.tail(append(s.head(dst, p.rule), text[u.start:u.end]...), p)
	}
	dst = s.members(append(dst, text[u.start:u.insert]...), p, u.isEmpty)
	return append(dst, text[u.insert:u.end]...)
}
