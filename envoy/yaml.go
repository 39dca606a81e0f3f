package envoy

import (
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// YAML returns a message as YAML for Envoy. Fields are in the order of their definition, so the output is
// deterministic. Short mappings and lists are on one line, so that a bootstrap is readable.
func YAML(m proto.Message) ([]byte, error) {
	json, err := messageJSON(m)
	if err != nil {
		return nil, err
	}
	fields, err := orderedMap(json)
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

// compact sets the flow style of mappings and lists that fit on a line. It reports whether n fits.
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
	case *ast.StringNode: // unquoted text in block style may be syntax in flow style
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

func messageJSON(m proto.Message) ([]byte, error) {
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
}

// orderedMap parses a YAML mapping; JSON is a subset of YAML.
func orderedMap(text []byte) (yaml.MapSlice, error) {
	var fields yaml.MapSlice
	err := yaml.UnmarshalWithOptions(text, &fields, yaml.UseOrderedMap())
	return fields, err
}
