package rulesfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// position is a place in the file, counted from 1.
type position struct{ line, column int }

// node is a value of the file, with its position.
type node struct {
	at       position
	scalar   any // string, bool, int64, float64 or nil; nil for a mapping and a list, too
	text     string
	isMap    bool
	isList   bool
	keys     []string // of a mapping, in their order
	keyAt    map[string]position
	children map[string]*node // of a mapping
	elements []*node          // of a list
	size     int              // number of values in it after expanding aliases; at most maxValues+1
}

// reader makes nodes of the tree of the YAML library.
type reader struct {
	anchors    map[string]*node
	errs       Errors
	isTooLarge bool
}

func (r *reader) fail(at position, format string, args ...any) {
	r.errs = append(r.errs, Error{position: at, Text: fmt.Sprintf(format, args...)})
}

// read makes a node, and counts the values in it.
func (r *reader) read(from ast.Node) *node {
	n := r.make(from)
	if n.size > 0 {
		return n // an alias
	}
	n.size = 1
	for _, child := range n.children {
		n.size = min(n.size+child.size, maxValues+1)
	}
	for _, e := range n.elements {
		n.size = min(n.size+e.size, maxValues+1)
	}
	if n.size > maxValues && !r.isTooLarge {
		r.isTooLarge = true
		r.fail(n.at, "more than %d values after expanding aliases; use fewer aliases", maxValues)
	}
	return n
}

func (r *reader) make(from ast.Node) *node {
	n := &node{at: at(from.GetToken())}
	switch v := from.(type) {
	case *ast.MappingNode:
		n.isMap = true
		for i, pair := range v.Values {
			if i == 0 {
				n.at = at(pair.Key.GetToken())
			}
			r.addPair(n, pair)
		}
	case *ast.MappingValueNode:
		n.isMap, n.at = true, at(v.Key.GetToken())
		r.addPair(n, v)
	case *ast.SequenceNode:
		n.isList = true
		for _, e := range v.Values {
			n.elements = append(n.elements, r.read(e))
		}
	case *ast.AnchorNode:
		n = r.read(v.Value)
		r.anchors[v.Name.GetToken().Value] = n
	case *ast.AliasNode:
		name := v.Value.GetToken().Value
		if anchor := r.anchors[name]; anchor != nil {
			return anchor
		}
		r.fail(n.at, "no anchor &%s before this alias", name)
	case *ast.StringNode:
		n.scalar, n.text = v.Value, v.Value
		_, err := strconv.ParseInt(v.Value, 10, 64)
		if errors.Is(err, strconv.ErrRange) && v.GetToken().Type == token.StringType {
			r.fail(n.at, "%s does not fit a 64-bit integer; put it in quotes if it is a text", v.Value)
		}
	case *ast.LiteralNode:
		n.scalar, n.text = v.Value.Value, v.Value.Value
	case *ast.BoolNode:
		n.scalar, n.text = v.Value, strconv.FormatBool(v.Value)
	case *ast.IntegerNode:
		n.text = v.GetToken().Value
		switch i := v.Value.(type) {
		case int64:
			n.scalar = i
		case uint64:
			n.scalar = float64(i)
			if i <= math.MaxInt64 {
				n.scalar = int64(i)
			}
		}
	case *ast.FloatNode:
		n.scalar, n.text = v.Value, v.GetToken().Value
	case *ast.NullNode:
	default:
		r.fail(n.at, "a %s is not allowed in a rules file", from.Type())
	}
	return n
}

func (r *reader) addPair(n *node, pair *ast.MappingValueNode) {
	if _, ok := pair.Key.(*ast.MergeKeyNode); ok {
		r.merge(n, r.read(pair.Value))
		return
	}
	key := pair.Key.GetToken()
	n.add(key.Value, at(key), r.read(pair.Value))
}

// merge adds the keys of a mapping, or of a list of mappings, that n does not have. Keys written in n win, wherever
// they stand; of several mappings the first wins.
func (r *reader) merge(n, from *node) {
	mappings := []*node{from}
	if from.isList {
		mappings = from.elements
	}
	for _, m := range mappings {
		if !m.isMap {
			r.fail(m.at, "<< needs the alias of a mapping, or a list of such aliases: <<: *name")
		}
		for _, name := range m.keys {
			if n.children[name] == nil {
				n.add(name, m.keyAt[name], m.children[name])
			}
		}
	}
}

func (n *node) add(name string, at position, child *node) {
	if n.children == nil {
		n.children, n.keyAt = map[string]*node{}, map[string]position{}
	}
	if n.children[name] == nil {
		n.keys = append(n.keys, name)
	}
	n.children[name], n.keyAt[name] = child, at
}

// get returns the node at a path. If it is missing, the result is an empty node with the position of the last step that
// is there.
func (n *node) get(path ...string) *node {
	for _, step := range path {
		next := n.children[step]
		if i, err := strconv.Atoi(step); n.isList && err == nil && i < len(n.elements) {
			next = n.elements[i]
		}
		if next == nil {
			return &node{at: n.at}
		}
		n = next
	}
	return n
}

// str returns a string, or a default if the node is not a string.
func (n *node) str(byDefault string) string {
	if s, ok := n.scalar.(string); ok {
		return s
	}
	return byDefault
}

// value returns the node as encoding/json would decode it.
func (n *node) value() any {
	switch {
	case n.isMap:
		m := make(map[string]any, len(n.keys))
		for _, key := range n.keys {
			m[key] = n.children[key].value()
		}
		return m
	case n.isList:
		list := make([]any, 0, len(n.elements))
		for _, e := range n.elements {
			list = append(list, e.value())
		}
		return list
	default:
		return n.scalar
	}
}

// json returns the node as JSON, with members in their order, and numbers as they are written where JSON allows it. The
// result is not valid JSON if the node has a number that JSON does not have, such as .inf.
func (n *node) json() []byte {
	var parts [][]byte
	switch {
	case n.isMap:
		for _, key := range n.keys {
			name := (&node{scalar: key}).json()
			parts = append(parts, slices.Concat(name, []byte{':'}, n.children[key].json()))
		}
		return slices.Concat([]byte{'{'}, bytes.Join(parts, []byte{','}), []byte{'}'})
	case n.isList:
		for _, e := range n.elements {
			parts = append(parts, e.json())
		}
		return slices.Concat([]byte{'['}, bytes.Join(parts, []byte{','}), []byte{']'})
	}
	_, isText := n.scalar.(string)
	text, err := json.Marshal(n.scalar)
	if err != nil || !isText && n.scalar != nil && json.Valid([]byte(n.text)) {
		return []byte(n.text)
	}
	return text
}
