package enrich

import (
	"cmp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// plan describes the members that a rule needs from a response. [Rule.Ready] prepares it.
type plan struct {
	root  *node // of the response
	core  *node // of one core: the root, or an element of the list
	shown *node // object of a core that the shape shows or extends
	slots int   // number of recorded members

	fields []int           // slot of each of Rule.Core
	verify []int           // slot of each of Rule.Verify
	keys   [][]int         // slot of each condition of each source; -1 if the value is not from the core
	added  map[string]bool // names of the members that the shape adds to the core
}

// node is a value in a response that is recorded or contains recorded values.
type node struct {
	children map[string]*node // by the name of the member
	slot     int              // index of the value in unit.members; -1 if it is not recorded
	hasText  bool             // the text of a string is recorded too
	isTarget bool             // the shape adds members to this object
	elements *node            // of the elements, if this is the list; else nil
}

// Ready returns a copy of the rule that is ready for use.
func (r Rule) Ready() *Rule {
	r.ContentType = cmp.Or(r.ContentType, "application/json")
	p := plan{core: &node{slot: -1}, added: map[string]bool{}}
	p.root = p.core
	if r.List != nil {
		p.root = &node{slot: -1}
		p.root.at(*r.List).elements = p.core
	}
	record := func(at Pointer, hasText bool) int {
		n := p.core.at(at)
		if n.slot < 0 {
			n.slot = p.slots
			p.slots++
		}
		n.hasText = n.hasText || hasText
		return n.slot
	}
	for _, f := range r.Core {
		p.fields = append(p.fields, record(f.At, false))
	}
	for _, v := range r.Verify {
		p.verify = append(p.verify, record(v.At, true))
	}
	for _, s := range r.Sources {
		s.awaited = &awaitedShare{}
		slots := make([]int, len(s.Where))
		for i, c := range s.Where {
			slots[i] = -1
			if c.From == FromCore {
				slots[i] = record(c.At, true)
			}
		}
		p.keys = append(p.keys, slots)
	}
	p.shown = p.core
	if shape := r.shape(); shape.object != nil {
		p.shown = p.core.at(shape.object(&r))
		p.shown.isTarget = true
		for _, name := range shape.adds(&r) {
			p.added[name] = true
		}
	}
	r.plan = p
	return &r
}

// at returns the node at a pointer. It creates missing nodes.
func (n *node) at(p Pointer) *node {
	for _, name := range p.Names() {
		child := n.children[name]
		if child == nil {
			child = &node{slot: -1}
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[name] = child
		}
		n = child
	}
	return n
}

// Names returns the member names in the pointer (RFC 6901, section 4).
func (p Pointer) Names() []string { return slices.Collect(jsontext.Pointer(p).Tokens()) }

// clear removes the values recorded at n and below: of members with the same name, the last one counts.
func (n *node) clear(u *unit) {
	if n.slot >= 0 {
		u.members[n.slot] = member{}
	}
	if n.isTarget {
		u.insert = -1
	}
	for _, child := range n.children {
		child.clear(u)
	}
}
