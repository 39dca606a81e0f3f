package enrich

import "strings"

// plan is what a rule looks for in a response, made once.
type plan struct {
	root  *node // of the response
	core  *node // of one core: the root, or an element of the list
	slots int   // how many members are noted

	fields []int   // slot of each of Rule.Core
	verify []int   // slot of each of Rule.Verify
	keys   [][]int // slot of each condition of each source; -1 if it is not from the core
	added  map[string]bool
}

// node is a place in a response at which there is something to note, or below which there is.
type node struct {
	children map[string]*node // by the name of the member; nil for none
	slot     int              // where the value is noted; -1 for nowhere
	text     bool             // note the text of a string, too
	merge    bool             // this object gets the extensions
	elements *node            // this array is the list, and its elements are this; nil for others
}

// Ready returns the rule, ready for use.
func (r Rule) Ready() *Rule {
	p := plan{core: &node{slot: -1}, added: map[string]bool{}}
	p.root = p.core
	if r.List != nil {
		p.root = &node{slot: -1}
		p.root.at(*r.List).elements = p.core
	}
	note := func(at Pointer, text bool) int {
		n := p.core.at(at)
		if n.slot < 0 {
			n.slot = p.slots
			p.slots++
		}
		n.text = n.text || text
		return n.slot
	}
	for _, f := range r.Core {
		p.fields = append(p.fields, note(f.At, false))
	}
	for _, v := range r.Verify {
		p.verify = append(p.verify, note(v.At, true))
	}
	for _, s := range r.Sources {
		slots := make([]int, len(s.Where))
		for i, c := range s.Where {
			slots[i] = -1
			if c.From == FromCore {
				slots[i] = note(c.At, true)
			}
		}
		p.keys = append(p.keys, slots)
		p.added[s.Name] = true
	}
	if r.Shape == ShapeMerge {
		p.core.at(r.MergeAt).merge = true
		p.added[r.Members.Errors] = true
	}
	r.plan = p
	return &r
}

// at returns the node at a pointer, and makes what is missing on the way.
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

// Names returns the names of the members on the way to the place (RFC 6901, section 4).
func (p Pointer) Names() []string {
	if p == "" {
		return nil
	}
	names := strings.Split(strings.TrimPrefix(string(p), "/"), "/")
	for i, name := range names {
		names[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	}
	return names
}

// clear forgets what was noted at n and below: of members with the same name, the last one counts.
func (n *node) clear(u *unit) {
	if n.slot >= 0 {
		u.members[n.slot] = member{}
	}
	if n.merge {
		u.insert = -1
	}
	for _, child := range n.children {
		child.clear(u)
	}
}
