package enrich

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how deep the objects and arrays of a core may be nested. It is the limit of the parsers that clients
// have: a core that they could not read counts as failed.
const maxDepth = 1000

// Core is the legacy half of a composite, or the reason why there is none. If the rule has a list, it is all of them.
type Core struct {
	JSON   []byte // one valid JSON text, byte for byte as the legacy service wrote it; nil if it is streamed
	Failed Reason // empty if there is a core
	Err    error  // what was wrong with it; nil if the failure is not of the body's making

	units []unit
}

// unit is one core: all of the JSON, or an element of the list.
type unit struct {
	start, end int // its bytes in JSON
	insert     int // for ShapeMerge: where in JSON members can be added; -1 if that object is not there
	empty      bool
	taken      bool     // for ShapeMerge: a member of that name is there already
	members    []member // by slot
}

// FailedCore is the core of a response that has none.
func FailedCore(why Reason) Core { return Core{Failed: why} }

// ParseCore takes the core out of the body of a legacy response. The body must be one complete JSON object in UTF-8
// (RFC 8259), after an optional byte order mark and between optional white space, and have the members that the rule
// asks for. The result's JSON is a part of body unless that was compressed. ok is false if the body, decoded, is over
// the rule's CoreLimit.
func (r *Rule) ParseCore(body []byte, contentEncoding string) (core Core, ok bool) {
	body, err := decode(body, contentEncoding, r.CoreLimit)
	switch {
	case errors.Is(err, errTooLarge):
		return Core{}, false
	case err != nil:
		return Core{Failed: CoreInvalid, Err: err}, true
	}
	body = bytes.TrimPrefix(body, []byte(byteOrderMark))
	body = bytes.Trim(body, " \t\r\n")
	if !utf8.Valid(body) {
		return Core{Failed: CoreInvalid, Err: errNotUTF8}, true
	}
	units, err := r.check(bytes.NewBuffer(body))
	if err != nil {
		return Core{Failed: CoreInvalid, Err: err}, true
	}
	return Core{JSON: body, units: units}.merged(), true
}

// merged fails a core that has a member with the name of one to be added: what the legacy service says stands.
func (c Core) merged() Core {
	for _, u := range c.units {
		if u.taken {
			return Core{Failed: MemberTaken}
		}
	}
	return c
}

const byteOrderMark = "\xef\xbb\xbf"

var errNotUTF8 = errors.New("not UTF-8")

// check validates the JSON text in body, which is known to be UTF-8, and notes what the rule needs of each core in it.
func (r *Rule) check(body io.Reader) ([]unit, error) {
	// A lone surrogate escape is "invalid UTF-8" to jsontext, but passes as it stands. Of duplicate names the last one
	// counts.
	w := walker{
		rule: r,
		dec:  jsontext.NewDecoder(body, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)),
	}
	if r.List == nil {
		if err := w.readCore(); err != nil {
			return nil, err
		}
	} else if err := w.read(r.plan.root, nil); err != nil {
		return nil, err
	} else if !w.listed {
		return nil, fmt.Errorf("no array at %q", *r.List)
	}
	if _, err := w.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more after the end")
	}
	return w.units, nil
}

// walker reads a response once, and notes what the plan of a rule says.
type walker struct {
	rule   *Rule
	dec    *jsontext.Decoder
	units  []unit
	listed bool // the list was there
}

// read reads the next value, which is at n if n is not nil. u is the core that it is in; nil on the way to the list.
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
		w.units, w.listed = nil, false // of members with the same name on the way to the list, the last one counts
	} else {
		n.clear(u)
		if n.slot >= 0 {
			m := member{kind: kind}
			if kind == '0' || kind == '"' && n.text {
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

// skip reads over the rest of a value that began with a token of a kind.
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

var errDepth = errors.New("nested too deep")

// readMembers reads the rest of an object after its brace.
func (w *walker) readMembers(n *node, u *unit) error {
	if w.dec.StackDepth() > maxDepth {
		return errDepth
	}
	if u != nil && n.merge {
		u.insert, u.empty, u.taken = int(w.dec.InputOffset()), true, false
	}
	for w.dec.PeekKind() != '}' {
		token, err := w.dec.ReadToken()
		if err != nil {
			return err
		}
		if len(n.children) == 0 && !n.merge {
			if err := w.read(nil, u); err != nil {
				return err
			}
			continue
		}
		name := token.String()
		if err := w.read(n.children[name], u); err != nil {
			return err
		}
		if u != nil && n.merge {
			u.insert, u.empty = int(w.dec.InputOffset()), false
			u.taken = u.taken || w.rule.plan.added[name]
		}
	}
	_, err := w.dec.ReadToken()
	return err
}

// readList reads the rest of the list after its bracket.
func (w *walker) readList() error {
	w.listed = true
	for w.dec.PeekKind() != ']' {
		if err := w.readCore(); err != nil {
			return err
		}
	}
	_, err := w.dec.ReadToken()
	return err
}

// readCore reads one core, and checks that it is as the rule says.
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
			return fmt.Errorf("member %q is missing or of a wrong type", f.At)
		}
	}
	if w.rule.Shape == ShapeMerge && u.insert < 0 {
		return fmt.Errorf("no object at %q", w.rule.MergeAt)
	}
	w.units = append(w.units, u)
	return nil
}

// belongs reports whether a core is of the one that the request names.
func (r *Rule) belongs(u *unit, params []Value) bool {
	for i, v := range r.Verify {
		want := params[v.Param]
		if got, ok := u.members[r.plan.verify[i]].value(want.Type); !ok || got != want {
			return false
		}
	}
	return true
}

// isInteger reports whether a JSON number is an integer. It may be spelled 7, 7.0 or 7e0, and be of any size, but one
// with a fraction or an exponent must fit a double, as it must for every client.
func isInteger(number string) bool {
	if _, integer, _ := parseInteger(number); !integer {
		return false
	}
	f, err := strconv.ParseFloat(number, 64)
	return !strings.ContainsAny(number, ".eE") || err == nil && !math.IsInf(f, 0)
}

// parseInteger reads a JSON number digit by digit: a double would take 9007199254740993.0 for its neighbour.
func parseInteger(number string) (n int64, integer, fits bool) {
	mantissa, exponent := number, 0
	if i := strings.IndexAny(number, "eE"); i >= 0 {
		var err error
		if exponent, err = strconv.Atoi(number[i+1:]); err != nil {
			return 0, false, false // an exponent that is no int is one of a number that is no double
		}
		mantissa = number[:i]
	}
	sign := ""
	if rest, negative := strings.CutPrefix(mantissa, "-"); negative {
		sign, mantissa = "-", rest
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	// The value is 0.digits times ten to the power of point.
	digits := strings.TrimLeft(whole+fraction, "0")
	point := exponent + len(whole) - (len(whole) + len(fraction) - len(digits))
	digits = strings.TrimRight(digits, "0")
	switch {
	case digits == "":
		return 0, true, true
	case len(digits) > point:
		return 0, false, false
	case point > len("9223372036854775807"):
		return 0, true, false
	}
	n, err := strconv.ParseInt(sign+digits+strings.Repeat("0", point-len(digits)), 10, 64)
	return n, true, err == nil
}
