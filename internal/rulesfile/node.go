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
	value    any    // as encoding/json decodes it, except that integers are int64
	text     string // of a scalar, as written in the file
	isMap    bool
	isList   bool
	keys     []string // of a mapping, in file order
	keyAt    map[string]position
	children map[string]*node // of a mapping
	elements []*node          // of a list
	size     int              // number of values after expanding aliases; at most maxValues+1
}

// reader converts the YAML library's tree to nodes.
type reader struct {
	anchors    map[string]*node
	errs       Errors
	isTooLarge bool
}

func (r *reader) fail(at position, format string, args ...any) {
	r.errs = append(r.errs, Error{position: at, Text: fmt.Sprintf(format, args...)})
}

// read converts a node. Aliases share the node of their anchor.
func (r *reader) read(from ast.Node) *node {
	n := &node{at: at(from.GetToken()), size: 1}
	switch v := from.(type) {
	case ast.MapNode:
		r.readMap(n, v)
	case *ast.SequenceNode:
		list := make([]any, 0, len(v.Values))
		for _, e := range v.Values {
			element := r.read(e)
			n.elements, list = append(n.elements, element), append(list, element.value)
			n.size += element.size
		}
		n.isList, n.value = true, list
	case *ast.AnchorNode:
		n = r.read(v.Value)
		r.anchors[v.Name.GetToken().Value] = n
		return n
	case *ast.AliasNode:
		name := v.Value.GetToken().Value
		if anchor := r.anchors[name]; anchor != nil {
			return anchor
		}
		r.fail(n.at, "no anchor &%s before this alias", name)
	case *ast.StringNode:
		n.value, n.text = v.Value, v.Value
		_, err := strconv.ParseInt(v.Value, 10, 64)
		if errors.Is(err, strconv.ErrRange) && v.GetToken().Type == token.StringType {
			r.fail(n.at, "%s does not fit a 64-bit integer; put it in quotes if it is a string", v.Value)
		}
	case *ast.LiteralNode:
		n.value, n.text = v.Value.Value, v.Value.Value
	case *ast.BoolNode, *ast.IntegerNode, *ast.FloatNode, *ast.NullNode:
		n.value, n.text = v.(ast.ScalarNode).GetValue(), v.GetToken().Value
		if i, ok := n.value.(uint64); ok && i <= math.MaxInt64 {
			n.value = int64(i)
		} else if ok {
			n.value = float64(i)
		}
	default:
		r.fail(n.at, "a %s is not allowed in a rules file", from.Type())
	}
	if n.size > maxValues {
		n.size = maxValues + 1
		if !r.isTooLarge {
			r.fail(n.at, "more than %d values after expanding aliases; use fewer aliases", maxValues)
		}
		r.isTooLarge = true
	}
	return n
}

// readMap reads the pairs of a mapping, and merges those of the key <<.
func (r *reader) readMap(n *node, from ast.MapNode) {
	n.children, n.keyAt = map[string]*node{}, map[string]position{}
	for pairs := from.MapRange(); pairs.Next(); {
		key := pairs.Key().GetToken()
		if !n.isMap {
			n.isMap, n.at = true, at(key) // of the first key
		}
		if _, ok := pairs.Key().(*ast.MergeKeyNode); ok {
			r.merge(n, r.read(pairs.Value()))
			continue
		}
		n.add(key.Value, at(key), r.read(pairs.Value()))
	}
	value := make(map[string]any, len(n.keys))
	for key, child := range n.children {
		value[key] = child.value
		n.size += child.size
	}
	n.isMap, n.value = true, value
}

// merge adds the keys of a mapping, or of a list of mappings, that n does not have. Keys in n take precedence over
// merged keys, and earlier mappings over later ones.
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
	if n.children[name] == nil {
		n.keys = append(n.keys, name)
	}
	n.children[name], n.keyAt[name] = child, at
}

// get returns the node at a path. If the path does not exist, it returns an empty node with the position of the last
// node on the path that exists.
func (n *node) get(path ...string) *node {
	for _, step := range path {
		next := n.children[step]
		if i, err := strconv.Atoi(step); err == nil && i < len(n.elements) {
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
	if s, ok := n.value.(string); ok {
		return s
	}
	return byDefault
}

// json returns the node as JSON, with members in file order and numbers as written where JSON allows it. The result is
// not valid JSON if the node contains a number that JSON does not support, such as .inf.
func (n *node) json() []byte {
	var parts [][]byte
	switch {
	case n.isMap:
		for _, key := range n.keys {
			name := (&node{value: key}).json()
			parts = append(parts, slices.Concat(name, []byte{':'}, n.children[key].json()))
		}
		return slices.Concat([]byte{'{'}, bytes.Join(parts, []byte{','}), []byte{'}'})
	case n.isList:
		for _, e := range n.elements {
			parts = append(parts, e.json())
		}
		return slices.Concat([]byte{'['}, bytes.Join(parts, []byte{','}), []byte{']'})
	}
	_, isText := n.value.(string)
	text, err := json.Marshal(n.value)
	if err != nil || !isText && n.value != nil && json.Valid([]byte(n.text)) {
		return []byte(n.text)
	}
	return text
}
