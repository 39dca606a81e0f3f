package enrich

import (
	"fmt"
	"slices"
	"strings"
)

// Shape says how a core and its extensions become one JSON text. The zero value is [ShapeComposite].
type Shape uint8

// shapes has what weft knows about each Shape. Nothing else depends on a particular one. A new shape is
//   - a file like shape_merge.go, with its Shape and its value of type shape,
//   - a line here,
//   - go test ./internal/rulesfile -update, which adds its name to the JSON Schema and to docs/rules.md.
var shapes = []shape{ //nolint:gochecknoglobals // a table that only a test adds to
	ShapeComposite: composite(),
	ShapeMerge:     merge(),
}

// shape describes a Shape. It has head and tail, or object and members. The first kind puts the core into an object of
// its own, so that null can take the core's place. The second adds members to an object of the core.
type shape struct {
	name    string             // in rules files
	about   string             // describes it, for the JSON Schema
	options []string           // keys of a rule that not all shapes have: OptionCoreMember, OptionContentType, OptionMergeAt
	sketch  func(*Rule) string // returns a picture of an answer, for weft explain

	head func(dst []byte, r *Rule) []byte // appends what stands before a core
	tail func(dst []byte, p parts) []byte // appends what stands after it

	object  func(*Rule) Pointer                            // the object of the core that gets members
	adds    func(*Rule) []string                           // the names of all members that it can get
	members func(dst []byte, p parts, isEmpty bool) []byte // appends them; isEmpty says that they are the only ones
}

// Keys of a rule, as rules files name them, that only some shapes have.
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

// ParseShape returns the shape of a name.
func ParseShape(name string) (s Shape, ok bool) {
	i := slices.IndexFunc(shapes, func(s shape) bool { return s.name == name })
	return Shape(max(i, 0)), i >= 0
}

// String returns the name of s in rules files.
func (s Shape) String() string { return shapes[s].name }

// About describes s in one sentence, as in "composite: an object with …".
func (s Shape) About() string { return shapes[s].name + ": " + shapes[s].about }

// Options returns the options of rules that s has and other shapes may not have, such as [OptionMergeAt].
func (s Shape) Options() []string { return shapes[s].options }

func (r *Rule) shape() *shape { return &shapes[r.Shape] }

// AllowsMissingCore reports whether answers of the rule can have null in place of the core. Otherwise a failure of the
// legacy service passes, and a core cannot be streamed.
func (r *Rule) AllowsMissingCore() bool { return r.shape().head != nil && r.List == nil }

// Sketch returns a picture of an answer, for people.
func (r *Rule) Sketch() string {
	one := r.shape().sketch(r)
	switch {
	case r.List == nil:
		return one
	case *r.List == "":
		return "the list, each element of it as " + one
	default:
		return fmt.Sprintf("the list at %s, each element of it as %s", *r.List, one)
	}
}

// sketchExtensions returns the extensions as members.
func (r *Rule) sketchExtensions() string {
	var members []string
	for _, s := range r.Sources {
		members = append(members, fmt.Sprintf("%q: …", s.Name))
	}
	return strings.Join(members, ", ")
}

// appendUnit appends a core with its extensions. u is where the core is in text.
func (s *shape) appendUnit(dst, text []byte, u *unit, p parts) []byte {
	if s.head != nil {
		return s.tail(append(s.head(dst, p.rule), text[u.start:u.end]...), p)
	}
	dst = s.members(append(dst, text[u.start:u.insert]...), p, u.isEmpty)
	return append(dst, text[u.insert:u.end]...)
}
