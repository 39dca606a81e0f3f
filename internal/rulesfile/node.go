package rulesfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// position is where something stands in the file, both counted from one.
type position struct{ line, column int }

// node is a value of the file, with its position.
type node struct {
	at       position
	scalar   any // string, bool, int64, float64 or nil, if it is neither of the next two
	text     string
	isMap    bool
	isList   bool
	keys     []string // of a mapping, in their order
	keyAt    map[string]position
	children map[string]*node // of a mapping
	elements []*node
	size     int // how many values it is when aliases are written out; no more than maxValues+1
}

// reader makes nodes of the library's tree.
type reader struct {
	anchors  map[string]*node
	mistakes Mistakes
	tooLarge bool // that is said
}

// read makes a node of a tree, and counts what is in it.
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
	if n.size > maxValues && !r.tooLarge {
		r.tooLarge = true
		r.mistakes = append(r.mistakes, Mistake{position: n.at, Text: fmt.Sprintf("is more than %d values with its aliases written out; no rules file is", maxValues)})
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
		r.mistakes = append(r.mistakes, Mistake{position: n.at, Text: fmt.Sprintf("no anchor &%s before this", name)})
	case *ast.StringNode:
		n.scalar, n.text = v.Value, v.Value
		if _, err := strconv.ParseInt(v.Value, 10, 64); errors.Is(err, strconv.ErrRange) && v.GetToken().Type == token.StringType {
			r.mistakes = append(r.mistakes, Mistake{position: n.at, Text: v.Value + " is over all 64-bit integers; put it in quotes if it is a text"})
		}
	case *ast.LiteralNode:
		n.scalar, n.text = v.Value.Value, v.Value.Value
	case *ast.BoolNode:
		n.scalar, n.text = v.Value, strconv.FormatBool(v.Value)
	case *ast.IntegerNode:
		switch i := v.Value.(type) {
		case int64:
			n.scalar = i
		case uint64:
			n.scalar = float64(i)
			if i <= math.MaxInt64 {
				n.scalar = int64(i)
			}
		}
		n.text = v.GetToken().Value
	case *ast.FloatNode:
		n.scalar, n.text = v.Value, v.GetToken().Value
	case *ast.NullNode:
	default:
		r.mistakes = append(r.mistakes, Mistake{position: n.at, Text: fmt.Sprintf("a rules file has no %s", from.Type())})
	}
	return n
}

func (r *reader) addPair(n *node, pair *ast.MappingValueNode) {
	key := pair.Key.GetToken()
	if _, ok := pair.Key.(*ast.MergeKeyNode); ok {
		r.merge(n, r.read(pair.Value))
		return
	}
	n.add(key.Value, at(key), r.read(pair.Value))
}

// merge adds the keys of a mapping, or of several, that n does not have: what is written wins, wherever it stands, and of
// several mappings the first.
func (r *reader) merge(n, from *node) {
	mappings := []*node{from}
	if from.isList {
		mappings = from.elements
	}
	for _, m := range mappings {
		if !m.isMap {
			r.mistakes = append(r.mistakes, Mistake{position: m.at, Text: "<< wants the alias of a mapping, or a list of such: <<: *name"})
			continue
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

// get returns the node at a path, or one that stands for nothing. The position is that of the last step that is there.
func (n *node) get(path ...string) *node {
	for _, step := range path {
		next := n.children[step]
		if n.isList {
			if i, err := strconv.Atoi(step); err == nil && i < len(n.elements) {
				next = n.elements[i]
			}
		}
		if next == nil {
			return &node{at: n.at}
		}
		n = next
	}
	return n
}

// str returns a string, or what to take if there is none.
func (n *node) str(otherwise string) string {
	if s, ok := n.scalar.(string); ok {
		return s
	}
	return otherwise
}

// value is what encoding/json would make of the same in JSON.
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

// json writes the node as JSON, with members in their order and numbers as they are spelled, if JSON has that spelling.
func (n *node) json() ([]byte, error) {
	switch {
	case n.isMap:
		out := []byte{'{'}
		for i, key := range n.keys {
			if i > 0 {
				out = append(out, ',')
			}
			name, err := json.Marshal(key)
			if err != nil {
				return nil, err
			}
			value, err := n.children[key].json()
			if err != nil {
				return nil, err
			}
			out = append(append(append(out, name...), ':'), value...)
		}
		return append(out, '}'), nil
	case n.isList:
		out := []byte{'['}
		for i, e := range n.elements {
			if i > 0 {
				out = append(out, ',')
			}
			value, err := e.json()
			if err != nil {
				return nil, err
			}
			out = append(out, value...)
		}
		return append(out, ']'), nil
	}
	switch n.scalar.(type) {
	case int64, float64:
		if json.Valid([]byte(n.text)) {
			return []byte(n.text), nil
		}
	}
	return json.Marshal(n.scalar)
}
