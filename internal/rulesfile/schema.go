package rulesfile

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// Schema is the JSON Schema of a rules file. It is what editors complete with, and the first half of what a file is
// checked with.
//
//go:embed rules.schema.json
var Schema []byte

const schemaURL = "https://weft.invalid/rules.schema.json"

// compile makes a validator of a text that is part of the program.
func compile() *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		panic(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(schemaURL, doc); err != nil {
		panic(err)
	}
	return c.MustCompile(schemaURL)
}

// checkSchema returns what is wrong with the structure of a file.
func checkSchema(root *node) (mistakes Mistakes) {
	var invalid *jsonschema.ValidationError
	if err := compile().Validate(root.value()); !errors.As(err, &invalid) {
		return nil
	}
	var visit func(e *jsonschema.ValidationError)
	visit = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			mistakes = append(mistakes, explain(root, e)...)
			return
		}
		for _, cause := range e.Causes {
			visit(cause)
		}
	}
	visit(invalid)
	return mistakes
}

// explain says in a user's words what the validator found.
func explain(root *node, e *jsonschema.ValidationError) Mistakes {
	steps := e.InstanceLocation
	n := root.get(steps...)
	m := Mistake{position: n.at, Path: pathOf(steps)}
	with := func(format string, args ...any) Mistakes {
		m.Text = fmt.Sprintf(format, args...)
		return Mistakes{m}
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		known := knownKeys(e.SchemaURL)
		var all Mistakes
		for _, name := range k.Properties {
			if len(known) == 0 { // where and fields, whose keys are the user's
				all = append(all, Mistake{position: n.keyAt[name], Path: m.Path, Text: fmt.Sprintf("%.50q is no name here; write one such as userId or settings.theme, without $ at the begin of a part", name)})
				continue
			}
			text := fmt.Sprintf("unknown key %q; known are %s", name, oneOf(known))
			if near := nearest(name, known); near != "" {
				text = fmt.Sprintf("unknown key %q; did you mean %q?", name, near)
			}
			all = append(all, Mistake{position: n.keyAt[name], Path: m.Path, Text: text})
		}
		return all
	case *kind.Required:
		var all Mistakes
		for _, name := range k.Missing {
			all = append(all, Mistake{position: n.at, Path: m.Path, Text: fmt.Sprintf("%s is missing; write, for example, %s", name, example(name))})
		}
		return all
	case *kind.Type:
		if name := last(steps); strings.HasSuffix(name, "_timeout") {
			return with("%s", patternHint(steps))
		}
		return with("want %s, not %s%s", typesIn(k.Want), typeIn(k.Got), quoteHint(n, k.Want))
	case *kind.Enum:
		var names []string
		for _, v := range k.Want {
			names = append(names, fmt.Sprint(v))
		}
		if near := nearest(fmt.Sprint(k.Got), names); near != "" {
			return with("%v is none of %s; did you mean %s?", quoted(k.Got), oneOf(names), near)
		}
		return with("%v is none of %s", quoted(k.Got), oneOf(names))
	case *kind.Const:
		return with("want %v, the only version there is, not %v", k.Want, quoted(k.Got))
	case *kind.Pattern:
		return with("%q: %s", k.Got, patternHint(steps))
	case *kind.MinItems, *kind.MinProperties, *kind.MinLength:
		return with("is empty; write, for example, %s", example(last(steps)))
	case *kind.MaxProperties:
		return with("has both type and value; write type for a parameter that varies, value for one that is fixed")
	case *kind.MaxLength:
		return with("is longer than %d characters", k.Want)
	case *kind.UniqueItems:
		return with("has the same twice")
	case *kind.Minimum:
		return with("is less than %s", k.Want.RatString())
	case *kind.Maximum:
		return with("is more than %s", k.Want.RatString())
	default:
		return with("%v", e.ErrorKind)
	}
}

func last(steps []string) string {
	if len(steps) == 0 {
		return ""
	}
	return steps[len(steps)-1]
}

func quoted(v any) any {
	if s, ok := v.(string); ok {
		return fmt.Sprintf("%q", s)
	}
	if v == nil {
		return "nothing"
	}
	return v
}

// quoteHint helps those whom YAML has taken a text for something else.
func quoteHint(n *node, want []string) string {
	if slices.Contains(want, "string") && !n.isMap && !n.isList && n.scalar != nil {
		return fmt.Sprintf("; put it in quotes: %q", n.text)
	}
	return ""
}

func typesIn(names []string) string {
	var words []string
	for _, name := range names {
		words = append(words, typeIn(name))
	}
	return oneOf(words)
}

// typeIn names a type of JSON as people who write YAML do.
func typeIn(name string) string {
	switch name {
	case "object":
		return "a mapping (key: value)"
	case "array":
		return "a list"
	case "string":
		return "a text"
	case "integer":
		return "a whole number"
	case "number":
		return "a number"
	case "boolean":
		return "true or false"
	default:
		return "nothing"
	}
}

// knownKeys returns the properties that a part of the schema has.
func knownKeys(schema string) []string {
	_, fragment, _ := strings.Cut(schema, "#")
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		return nil
	}
	if fragment, err = url.PathUnescape(fragment); err != nil {
		return nil
	}
	for name := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		if object, ok := doc.(map[string]any); ok && name != "" {
			doc = object[name]
		}
	}
	var names []string
	if object, ok := doc.(map[string]any); ok {
		properties, _ := object["properties"].(map[string]any)
		for name := range properties {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// example is how a key is written.
func example(key string) string {
	switch key {
	case "version":
		return "version: 1"
	case "rules":
		return "rules: [{name: user, …}]"
	case "name":
		return "name: user"
	case "match":
		return "match: {path: /api/v1/users/{userId:int64}}"
	case "path":
		return "path: /api/v1/users/{userId:int64}"
	case "methods":
		return "methods: [GET]"
	case "query":
		return "query: {tenant: {type: string}}"
	case "extensions":
		return "extensions: {profile: {database: …, collection: …, where: …, fields: …}}"
	case "database":
		return "database: user_profiles"
	case "collection":
		return "collection: profiles"
	case "where":
		return "where: {userId: {param: userId}}"
	case "fields":
		return "fields: {tags: {type: strings, default: []}}"
	case "type":
		return "type: string"
	case "payload":
		return "payload: token"
	case "claim":
		return "claim: sub"
	default:
		return "a text"
	}
}

// patternHint says what a text must look like.
func patternHint(steps []string) string {
	switch last(steps) {
	case "route_timeout", "message_timeout":
		return "write a duration with its unit, such as 900ms or 3s"
	case "name":
		return "a rule's name is made of small letters, digits and - (it is a label of metrics)"
	case "host":
		return "write a host name such as users.example.com, or *.example.com, without a port"
	case "value":
		return "a value of a query is made of letters, digits and - . _ ~"
	case "limit":
		return "write a size such as 512KiB or 4MiB"
	case "list", "merge_at":
		return `write a JSON pointer such as /data/items, or "" for the whole`
	case "database":
		return "no name of a MongoDB database: up to 63 characters, none of / \\ . \" $ * < > : | ? and space"
	case "collection":
		return "no name of a MongoDB collection: up to 120 characters, without $"
	default:
		return "write the path of a field such as settings.theme"
	}
}
