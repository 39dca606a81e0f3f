package rulesfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxValues and maxDepth are more than any rules file has: what is larger would take weft's memory, as aliases of
// aliases do, or the parser's time.
const (
	maxValues = 200_000
	maxDepth  = 100
)

// parse reads one YAML document. Mistakes have their positions.
func parse(text []byte) (*node, Mistakes) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // as some editors write it (YAML 1.2, section 5.2)
	if !utf8.Valid(text) {
		return nil, Mistakes{{position: firstInvalid(text), Text: "not UTF-8; save the file in that encoding"}}
	}
	tokens := lexer.Tokenize(string(text))
	if t := tooDeep(tokens); t != nil {
		return nil, Mistakes{{position: at(t), Text: fmt.Sprintf("nested deeper than %d levels; no rules file is", maxDepth)}}
	}
	file, err := parser.Parse(tokens, 0)
	if err != nil {
		var syntax *yaml.SyntaxError
		if errors.As(err, &syntax) {
			if strings.Contains(syntax.Message, "'\t'") {
				return nil, Mistakes{{position: at(syntax.Token), Text: "not YAML: a tab; indent with spaces"}}
			}
			return nil, Mistakes{{position: at(syntax.Token), Text: "not YAML: " + syntax.Message}}
		}
		return nil, Mistakes{{position: position{1, 1}, Text: "not YAML: " + err.Error()}}
	}
	var documents []*ast.DocumentNode
	for _, d := range file.Docs {
		if _, isDirective := d.Body.(*ast.DirectiveNode); d.Body != nil && !isDirective {
			documents = append(documents, d)
		}
	}
	switch len(documents) {
	case 0:
		return nil, Mistakes{{position: position{1, 1}, Text: "the file is empty; begin with version: 1 and rules:"}}
	case 1:
	default:
		return nil, Mistakes{{position: at(documents[1].Body.GetToken()), Text: "there is a second document; put all rules into one, without ---"}}
	}
	r := reader{anchors: map[string]*node{}}
	n := r.read(documents[0].Body)
	return n, r.mistakes
}

// firstInvalid returns where a text stops to be UTF-8.
func firstInvalid(text []byte) position {
	valid := text[:0]
	for len(valid) < len(text) {
		r, size := utf8.DecodeRune(text[len(valid):])
		if r == utf8.RuneError && size == 1 {
			break
		}
		valid = text[:len(valid)+size]
	}
	line := valid[bytes.LastIndexByte(valid, '\n')+1:]
	return position{bytes.Count(valid, []byte{'\n'}) + 1, utf8.RuneCount(line) + 1}
}

// tooDeep returns the token at which brackets, or the dashes of one line, are nested too deep; nil if none is.
func tooDeep(tokens token.Tokens) *token.Token {
	brackets, dashes := 0, 0
	for _, t := range tokens {
		dashes++
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
			dashes = 0
		case token.SequenceEndType, token.MappingEndType:
			brackets--
			dashes = 0
		case token.SequenceEntryType:
		default:
			dashes = 0
		}
		if brackets > maxDepth || dashes > maxDepth {
			return t
		}
	}
	return nil
}

func at(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{1, 1}
	}
	return position{t.Position.Line, t.Position.Column}
}
