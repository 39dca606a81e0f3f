package rulesfile

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Schema is the JSON Schema of a rules file, for editors and for [Parse]. A test generates the parts that the code
// defines.
//
//go:embed rules.schema.json
var Schema []byte

const schemaURL = "https://weft.invalid/rules.schema.json"

// checkSchema validates a file against the schema. It panics if the schema, which is embedded, is invalid.
func checkSchema(root *node) (errs Errors) {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	compiler := jsonschema.NewCompiler()
	if err := errors.Join(err, compiler.AddResource(schemaURL, schema)); err != nil {
		panic(err)
	}
	var visit func(e *jsonschema.ValidationError)
	visit = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			errs = append(errs, describe(e, root, part(schema, e.SchemaURL))...)
		}
		for _, cause := range e.Causes {
			visit(cause)
		}
	}
	var invalid *jsonschema.ValidationError
	if errors.As(compiler.MustCompile(schemaURL).Validate(root.value), &invalid) {
		visit(invalid)
	}
	return errs
}

// part returns the part of a schema that the fragment of a URL points to.
func part(schema any, at string) map[string]any {
	part, _ := schema.(map[string]any)
	if u, err := url.Parse(at); err == nil {
		for name := range jsontext.Pointer(u.Fragment).Tokens() {
			part, _ = part[name].(map[string]any)
		}
	}
	return part
}

// describe translates a validator error into errors about YAML. The part is the part of the schema that rejected the
// value.
func describe(e *jsonschema.ValidationError, root *node, part map[string]any) (errs Errors) {
	steps := e.InstanceLocation
	n := root.get(steps...)
	hint, _ := part["patternErrorMessage"].(string) // editors show it too
	properties, _ := part["properties"].(map[string]any)
	failAt := func(at position, format string, args ...any) {
		errs = append(errs, Error{position: at, Path: pathOf(steps), Text: fmt.Sprintf(format, args...)})
	}
	fail := func(format string, args ...any) { failAt(n.at, format, args...) }
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := slices.Sorted(maps.Keys(properties))
		for _, key := range k.Properties {
			if len(known) > 0 {
				failAt(n.keyAt[key], "unknown key %q; %s", key, suggest(key, known))
			} else { // in where, fields or extensions, whose keys are names chosen by the user
				failAt(n.keyAt[key], "invalid name %.50q; write a name such as userId or settings.theme", key)
			}
		}
	case *kind.Required:
		for _, key := range k.Missing {
			fail("%s is missing; write, for example, %s", key, example(key, properties[key]))
		}
	case *kind.Type:
		switch {
		case strings.HasSuffix(e.SchemaURL, "/duration"):
			fail("%s", hint)
		case slices.Contains(k.Want, "string") && !n.isMap && !n.isList && n.value != nil: // as in name: 7
			fail("want %s, not %s; put it in quotes: %q", typeWord(k.Want...), typeWord(k.Got), n.text)
		default:
			fail("want %s, not %s", typeWord(k.Want...), typeWord(k.Got))
		}
	case *kind.Enum:
		what := "value"
		if strings.HasSuffix(e.SchemaURL, "Type") {
			what = "type"
		}
		var names []string
		for _, v := range k.Want {
			names = append(names, fmt.Sprint(v))
		}
		fail("unknown %s %s; use one of %s", what, n.json(), strings.Join(names, ", "))
	case *kind.Const:
		fail("unknown version %s; write version: %v", n.json(), k.Want)
	case *kind.Pattern:
		fail("%q: %s", k.Got, hint)
	case *kind.MinItems, *kind.MinProperties, *kind.MinLength:
		fail("is empty; write, for example, %s", example(steps[len(steps)-1], part))
	case *kind.MaxProperties:
		fail("has both type and value; use type for a variable parameter, value for a fixed one")
	default: // for example, limits of numbers and lengths
		fail("%s", k.LocalizedString(message.NewPrinter(language.English)))
	}
	return errs
}

// typeWord returns the YAML terms for JSON types.
func typeWord(names ...string) string {
	var words []string
	for _, name := range names {
		words = append(words, map[string]string{
			"object": "a mapping (key: value)", "array": "a list", "string": "a string", "integer": "an integer",
			"number": "a number", "boolean": "true or false", "null": "null",
		}[name])
	}
	return strings.Join(words, " or ")
}

// example returns an example of a key and its value, from its part of the schema.
func example(key string, part any) string {
	if keywords, _ := part.(map[string]any); keywords["example"] != nil {
		return fmt.Sprintf("%s: %s", key, keywords["example"])
	}
	return "a string"
}
