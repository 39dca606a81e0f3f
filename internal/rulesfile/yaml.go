package rulesfile

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
	"golang.org/x/text/encoding"
	"golang.org/x/text/transform"
)

// maxValues and maxDepth limit the memory that nested aliases need and the parser's time. They are far more than a
// rules file needs.
const (
	maxValues = 200_000
	maxDepth  = 100
)

// parse parses one YAML document.
func parse(text []byte) (*node, Errors) {
	fail := func(at position, format string, args ...any) (*node, Errors) {
		return nil, Errors{{position: at, Text: fmt.Sprintf(format, args...)}}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // YAML 1.2, section 5.2
	if _, n, err := transform.Bytes(encoding.UTF8Validator, text); err != nil {
		line := text[bytes.LastIndexByte(text[:n], '\n')+1 : n]
		return fail(position{bytes.Count(text[:n], []byte{'\n'}) + 1, utf8.RuneCount(line) + 1},
			"not UTF-8; save the file in that encoding")
	}
	tokens := lexer.Tokenize(string(text))
	if t := tooDeep(tokens); t != nil {
		return fail(at(t), "nested deeper than %d levels", maxDepth)
	}
	file, err := parser.Parse(tokens, 0)
	var syntax *yaml.SyntaxError
	switch {
	case errors.As(err, &syntax) && strings.Contains(syntax.Message, "'\t'"):
		return fail(at(syntax.Token), "not YAML: a tab; indent with spaces")
	case errors.As(err, &syntax):
		return fail(at(syntax.Token), "not YAML: %s", syntax.Message)
	case err != nil:
		return fail(position{1, 1}, "not YAML: %v", err)
	}
	documents := slices.DeleteFunc(file.Docs, func(d *ast.DocumentNode) bool {
		_, isDirective := d.Body.(*ast.DirectiveNode)
		return d.Body == nil || isDirective
	})
	switch len(documents) {
	case 0:
		return fail(position{1, 1}, "the file is empty; begin with version: 1 and rules:")
	case 1:
		r := reader{anchors: map[string]*node{}}
		return r.read(documents[0].Body), r.errs
	default:
		return fail(at(documents[1].Body.GetToken()), "a second document; put all rules into one, without ---")
	}
}

// tooDeep returns the first token at which brackets, or the dashes in a line, are nested deeper than maxDepth, or nil.
func tooDeep(tokens token.Tokens) *token.Token {
	brackets, dashes := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		}
		dashes++
		if t.Type != token.SequenceEntryType {
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
