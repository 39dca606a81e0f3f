package envoy

import (
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// YAML renders a message as Envoy reads it. The fields are in the order of their definition, so the same message always
// has the same text. Short mappings and lists are written in one line, so that people can read a whole bootstrap.
func YAML(m proto.Message) ([]byte, error) {
	fields, err := messageMap(m)
	if err != nil {
		return nil, err
	}
	node, err := yaml.ValueToNode(fields, yamlOptions()...)
	if err != nil {
		return nil, err
	}
	compact(node)
	return []byte(node.String() + "\n"), nil
}

// compact sets the flow style where all of a mapping or list fits into a line. It reports whether n does.
func compact(n ast.Node) bool {
	const maxLength = 80 // without the indentation and the key
	fits := true
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			v.IsFlowStyle = compact(v.Value)
			fits = v.IsFlowStyle && fits
		}
		n.IsFlowStyle = fits
		n.IsFlowStyle = fits && len(n.String()) <= maxLength
		return n.IsFlowStyle
	case *ast.SequenceNode:
		for _, v := range n.Values {
			fits = compact(v) && fits
		}
		n.IsFlowStyle = fits
		n.IsFlowStyle = fits && len(n.String()) <= maxLength
		return n.IsFlowStyle
	case *ast.StringNode: // what need not be quoted in block style may have a meaning in flow style
		return strings.HasPrefix(n.String(), `"`) || !strings.ContainsAny(n.Value, ",[]{}:\n")
	case *ast.LiteralNode:
		return false
	default:
		return true
	}
}

func yamlOptions() []yaml.EncodeOption {
	return []yaml.EncodeOption{yaml.IndentSequence(true), yaml.UseLiteralStyleIfMultiline(true)}
}

// messageMap returns a message as a YAML mapping, in the order of its definition.
func messageMap(m proto.Message) (yaml.MapSlice, error) {
	json, err := messageJSON(m)
	if err != nil {
		return nil, err
	}
	return orderedMap(json)
}

func messageJSON(m proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
}

// orderedMap reads a mapping of YAML, of which JSON is a subset.
func orderedMap(text []byte) (yaml.MapSlice, error) {
	var fields yaml.MapSlice
	err := yaml.UnmarshalWithOptions(text, &fields, yaml.UseOrderedMap())
	return fields, err
}
