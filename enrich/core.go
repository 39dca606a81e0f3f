package enrich

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/encoding"
)

// maxDepth is the maximum nesting of objects and arrays in a core, as in common JSON parsers.
const maxDepth = 1000

// Core is a core, or the reason why it is missing. If the rule has a list, it is the whole list.
type Core struct {
	JSON   []byte // one valid JSON text, byte for byte from the legacy service; nil if it is streamed
	Failed Reason // why the core is missing; empty if it is not
	Err    error  // error in the body; nil if the body is not the cause

	Kept *KeptCore // nil if the legacy service has just sent the core

	units []unit
}

// unit is one core: all of the JSON, or an element of the list.
type unit struct {
	start, end  int      // offsets in Core.JSON
	insert      int      // offset at which the shape adds members to an object; -1 without such an object
	isEmpty     bool     // that object has no members
	hasConflict bool     // that object has a member with the name of a member to be added
	members     []member // by slot of the plan
	shown       *object  // the object that the shape shows or extends; nil unless the request selects members of it
}

// object is an object in a core.
type object struct {
	start, end int      // offsets in Core.JSON
	selected   [][2]int // offsets of the selected members, beginning with what separates a member from the one before
}

// FailedCore returns a missing core.
func FailedCore(why Reason) Core { return Core{Failed: why} }

// ByteOrderMark is U+FEFF in UTF-8. Before a JSON text it is ignored (RFC 8259, section 8.1).
const ByteOrderMark = "\xef\xbb\xbf"

// ParseCore parses the body of a legacy response. A valid body is one JSON text in UTF-8 (RFC 8259) with the rule's
// list, if any, and the required members of each core. ParseCore ignores a byte order mark and surrounding white space.
// The result's JSON shares memory with body, unless body is compressed or the request selects members. ok is false if
// the decoded body exceeds CoreLimit.
func (r *Rule) ParseCore(body []byte, contentEncoding string) (core Core, ok bool) {
	body, err := decode(body, contentEncoding, r.CoreLimit)
	switch {
	case errors.Is(err, errTooLarge):
		return Core{}, false
	case err != nil:
		return Core{Failed: CoreInvalid, Err: err}, true
	}
	body = bytes.Trim(bytes.TrimPrefix(body, []byte(ByteOrderMark)), " \t\r\n")
	if !utf8.Valid(body) {
		return Core{Failed: CoreInvalid, Err: encoding.ErrInvalidUTF8}, true
	}
	units, err := r.parseUnits(bytes.NewBuffer(body)) // which jsontext reads in place
	if err != nil {
		return Core{Failed: CoreInvalid, Err: err}, true
	}
	for _, u := range units {
		if u.hasConflict { // do not overwrite a member of the legacy service
			return Core{Failed: MemberTaken}, true
		}
	}
	return r.cut(Core{JSON: body, units: units}), true
}

// parseUnits validates the JSON text in body, which must be UTF-8, and returns the cores in it.
func (r *Rule) parseUnits(body io.Reader) ([]unit, error) {
	// To jsontext an escaped lone surrogate is invalid UTF-8; here it is allowed. Of members with the same name, the
	// last one counts.
	w := walker{
		rule: r,
		dec:  jsontext.NewDecoder(body, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
	}
	if r.selected != nil {
		w.selected = r.selected.members
	}
	if r.List == nil {
		if err := w.readCore(); err != nil {
			return nil, err
		}
	} else if err := w.read(r.plan.root, nil); err != nil {
		return nil, err
	} else if !w.hasList {
		return nil, fmt.Errorf("no array at %q", *r.List)
	}
	if _, err := w.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("text after the end of the JSON")
	}
	return w.units, nil
}

// walker reads a response in one pass and records what the rule's plan needs.
type walker struct {
	rule     *Rule
	dec      *jsontext.Decoder
	selected map[string]bool // members of the object that the shape shows or extends; nil means all
	units    []unit
	hasList  bool
}

// read reads the next value. n is its node in the plan, or nil. u is the core that contains it, or nil outside the
// list.
func (w *walker) read(n *node, u *unit) error {
	token, err := w.dec.ReadToken()
	if err != nil {
		return err
	}
	kind := token.Kind()
	if n == nil {
		return w.skip(kind)
	}
	if u == nil {
		w.units, w.hasList = nil, false // a second member of this name replaces the first
	} else {
		n.clear(u)
		if n.slot >= 0 {
			m := member{kind: kind}
			if kind == '0' || kind == '"' && n.hasText {
				m.text = token.String()
			}
			u.members[n.slot] = m
		}
	}
	switch {
	case kind == '{':
		return w.readMembers(n, u)
	case kind == '[' && n.elements != nil:
		return w.readList()
	default:
		return w.skip(kind)
	}
}

// skip reads the rest of a value. kind is that of its first token.
func (w *walker) skip(kind jsontext.Kind) error {
	if kind != '{' && kind != '[' {
		return nil
	}
	for outer := w.dec.StackDepth() - 1; w.dec.StackDepth() > outer; {
		if w.dec.StackDepth() > maxDepth {
			return errDepth
		}
		if _, err := w.dec.ReadToken(); err != nil {
			return err
		}
	}
	return nil
}

var errDepth = fmt.Errorf("nested deeper than %d levels", maxDepth)

// readMembers reads the rest of an object, after its opening brace.
func (w *walker) readMembers(n *node, u *unit) error {
	if w.dec.StackDepth() > maxDepth {
		return errDepth
	}
	isTarget := u != nil && n.isTarget
	var shown *object
	if u != nil && n == w.rule.plan.shown && w.selected != nil {
		shown = &object{start: int(w.dec.InputOffset()) - 1}
		u.shown = shown // a second member of this name replaces the first
	}
	if isTarget {
		u.insert, u.isEmpty, u.hasConflict = int(w.dec.InputOffset()), true, false
	}
	for w.dec.PeekKind() != '}' {
		began := int(w.dec.InputOffset())
		token, err := w.dec.ReadToken()
		if err != nil {
			return err
		}
		if len(n.children) == 0 && !isTarget && shown == nil {
			if err := w.read(nil, u); err != nil {
				return err
			}
			continue
		}
		name := token.String()
		if err := w.read(n.children[name], u); err != nil {
			return err
		}
		if isTarget {
			u.insert, u.isEmpty = int(w.dec.InputOffset()), false
			u.hasConflict = u.hasConflict || w.rule.plan.added[name]
		}
		if shown != nil && w.selected[name] {
			shown.selected = append(shown.selected, [2]int{began, int(w.dec.InputOffset())})
		}
	}
	_, err := w.dec.ReadToken()
	if shown != nil {
		shown.end = int(w.dec.InputOffset())
	}
	return err
}

// readList reads the rest of the list, after its opening bracket.
func (w *walker) readList() error {
	w.hasList = true
	for w.dec.PeekKind() != ']' {
		if err := w.readCore(); err != nil {
			return err
		}
	}
	_, err := w.dec.ReadToken()
	return err
}

// readCore reads one core and validates it.
func (w *walker) readCore() error {
	token, err := w.dec.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '{' {
		return errors.New("not an object")
	}
	u := unit{start: int(w.dec.InputOffset()) - 1, insert: -1, members: make([]member, w.rule.plan.slots)}
	if err := w.readMembers(w.rule.plan.core, &u); err != nil {
		return err
	}
	u.end = int(w.dec.InputOffset())
	for i, f := range w.rule.Core {
		if !u.members[w.rule.plan.fields[i]].is(f.Type) {
			return fmt.Errorf("member %q is missing or not of type %s", f.At, f.Type)
		}
	}
	if shape := w.rule.shape(); shape.object != nil && u.insert < 0 {
		return fmt.Errorf("no object at %q", shape.object(w.rule))
	}
	w.units = append(w.units, u)
	return nil
}

// belongs reports whether the core's members equal the parameters that the rule verifies.
func (r *Rule) belongs(u *unit, params []Value) bool {
	for i, v := range r.Verify {
		want := params[v.Param]
		if got, ok := u.members[r.plan.verify[i]].value(want.Type); !ok || got != want {
			return false
		}
	}
	return true
}

// parseInteger parses a JSON number. integer reports whether it is an integer of any size: 7, 7.0 or 7e0. With a point
// or an exponent it must fit a double, because clients parse it as one. fits reports whether n is its value.
func parseInteger(number string) (n int64, integer, fits bool) {
	if !strings.ContainsAny(number, ".eE") {
		n, err := strconv.ParseInt(number, 10, 64)
		return n, true, err == nil
	}
	if f, err := strconv.ParseFloat(number, 64); err != nil || f == 0 { // any other exponent is small enough to expand
		mantissa, _, _ := strings.Cut(strings.ToLower(number), "e")
		isZero := strings.Trim(mantissa, "-0.") == ""
		return 0, isZero, isZero
	}
	exact, ok := new(big.Rat).SetString(number) // a double cannot represent 9007199254740993.0
	if !ok || !exact.IsInt() {
		return 0, false, false
	}
	return exact.Num().Int64(), true, exact.Num().IsInt64()
}
