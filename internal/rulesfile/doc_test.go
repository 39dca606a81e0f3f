package rulesfile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestDoc checks that docs/rules.md, which it generates from the schema, is up to date.
func TestDoc(t *testing.T) {
	var schema yaml.MapSlice
	if err := yaml.UnmarshalWithOptions([]byte(generatedSchema(t)), &schema, yaml.UseOrderedMap()); err != nil {
		t.Fatal(err)
	}
	d := doc{defs: child(schema, "$defs")}
	d.WriteString(docHead)
	d.section("The file", schema)
	d.section("A rule", child(d.defs, "rule"))
	d.section("An extension", child(d.defs, "extension"))
	const path = "../../docs/rules.md"
	if *update {
		if err := os.WriteFile(path, []byte(d.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != d.String() {
		t.Errorf("docs/rules.md is out of date: go test ./internal/rulesfile -update (%v)", err)
	}
}

// doc is the text generated from a schema.
type doc struct {
	strings.Builder
	defs yaml.MapSlice
}

func (d *doc) section(title string, schema yaml.MapSlice) {
	fmt.Fprintf(d, "\n## %s\n\n| key | value | |\n|---|---|---|\n", title)
	d.rows("", schema)
}

func (d *doc) rows(prefix string, schema yaml.MapSlice) {
	required := fmt.Sprint(get(schema, "required"))
	for _, p := range child(schema, "properties") {
		name, value := fmt.Sprint(p.Key), p.Value.(yaml.MapSlice)
		if ref, ok := get(value, "$ref").(string); ok {
			value = append(child(d.defs, strings.TrimPrefix(ref, "#/$defs/")), value...)
		}
		description, _ := lastOf(value, "description").(string)
		if strings.Contains(strings.Trim(required, "[]")+" ", name+" ") {
			description = strings.TrimSpace("Required. " + description)
		}
		escape := strings.NewReplacer("|", `\|`).Replace
		fmt.Fprintf(d, "| `%s%s` | %s | %s |\n", prefix, name, escape(kindOf(value)), escape(description))
		if prefix == "" && name == "rules" || name == "extensions" {
			continue // a separate section
		}
		switch more := get(value, "additionalProperties").(type) {
		case yaml.MapSlice:
			d.rows(prefix+name+".*.", more)
		default:
			for _, pattern := range child(value, "patternProperties") {
				d.rows(prefix+name+".*.", pattern.Value.(yaml.MapSlice))
			}
		}
		d.rows(prefix+name+".", value)
	}
}

func kindOf(schema yaml.MapSlice) string {
	if enum, ok := get(schema, "enum").([]any); ok {
		var values []string
		for _, v := range enum {
			values = append(values, fmt.Sprintf("`%v`", v))
		}
		return strings.Join(values, ", ")
	}
	if value := get(schema, "const"); value != nil {
		return fmt.Sprintf("`%v`", value)
	}
	switch kind := get(schema, "type").(type) {
	case string:
		return kind
	case []any:
		return strings.ReplaceAll(strings.Trim(fmt.Sprint(kind), "[]"), " ", " or ")
	default:
		return "any"
	}
}

func get(m yaml.MapSlice, key string) any {
	for _, item := range m {
		if item.Key == key {
			return item.Value
		}
	}
	return nil
}

func lastOf(m yaml.MapSlice, key string) (value any) {
	for _, item := range m {
		if item.Key == key {
			value = item.Value
		}
	}
	return value
}

func child(m yaml.MapSlice, key string) yaml.MapSlice {
	c, _ := get(m, key).(yaml.MapSlice)
	return c
}

const docHead = `# How do I write rules?

A rules file defines which responses of the legacy service are joined with which MongoDB documents.
Complete examples, which tests run: [a user profile](../examples/user-profile/rules.yaml),
[a list of orders](../examples/orders/rules.yaml),
[a product with two collections](../examples/products/rules.yaml),
[a catalog with caches](../examples/cached/rules.yaml).

    version: 1
    rules:
      - name: user
        match:
          path: /api/v1/users/{userId:int64}
        core:
          fields: {userId: int64, username: string}
          verify: {userId: userId}
        extensions:
          profile:
            database: user_profiles
            collection: profiles
            where: {userId: {param: userId}}
            fields:
              tags: {type: strings, default: []}
              theme: {type: string, path: customSettings.theme, default: light}

` + "`weft check rules.yaml`" + ` reports all errors in a file.
` + "`weft explain GET /api/v1/users/7 rules.yaml`" + ` shows what weft does with a request.
` + "`weft schema`" + ` prints the schema, for completion and validation in editors.

**To add a field**, add a line to the extension's ` + "`fields`" + `: name, type, and a default if it is optional.
weft reloads the file; Envoy needs no change.

**Parameters** match only in canonical form, and weft decodes nothing: an int64 has no leading zeros and no plus sign,
a string has only letters, digits and ` + "`- . _ ~`" + `. A UUID or ObjectId may be in lower or upper case;
the legacy service gets the client's spelling.
A request with another form passes unchanged, because two systems might interpret it differently.
A parameter is always a value in the MongoDB query, never an operator.
An upgrade, such as a WebSocket, matches no rule.

**The core** is copied byte for byte.
In shape *composite*, a core that is missing or invalid is ` + "`null`" + `, and ` + "`errors`" + ` has an entry.
Shape *merge* and lists cannot represent a missing core, so such a response passes.
A failed response to a method other than GET passes too,
and so does, in shape *merge*, a core that has a member with the name of an extension.

With a core, the legacy service's 2xx status stays. In shape *merge* the content type stays, too;
in shape *composite* it is ` + "`application/json`" + `, or the rule's ` + "`content_type`" + `.
The entity tag is weft's: do not join responses whose tag clients send in If-Match.

**Clients choose members** if a rule has ` + "`select: {param: fields}`" + `:
` + "`?fields=core.username,extension.tags`" + ` returns these, and reads nothing else from MongoDB.
With shape *merge*, members of the core have no prefix: ` + "`?fields=username,extension.tags`" + `.
Only members of the core's own object can be selected. A response that passes is complete.
Unknown names get a 400 that lists them (RFC 9457). Names are case-sensitive, and an empty one is unknown.
In shape *merge*, any name without a dot is a member of the core, so a typo selects nothing.
` + "`make demo`" + ` shows it.
The legacy service gets the parameter only with ` + "`forward: true`" + `, or while weft is down.

**Documents and cores can be cached**: [caching.md](caching.md).

**UUIDs**: ` + "`uuid`" + ` is binary of subtype 4, as current drivers write it.
Old drivers write subtype 3, each in its own byte order:
` + "`uuid-csharp`" + `, ` + "`uuid-java`" + ` and ` + "`uuid-python`" + `.
The bytes do not tell the order, so nothing detects a wrong choice: no document is found, or a field has another UUID.

**Numbers** keep all their digits. ` + "`number`" + ` rejects a Decimal128;
` + "`decimal`" + ` writes it as a JSON string, as it stands in the document.

**A missing document** is not an error: the extension has the defaults of its fields,
or is ` + "`null`" + ` if a field has no default.
A document with a field of another type, or without a field that has no default, is an error:
the extension is ` + "`null`" + `, and ` + "`errors`" + ` has an entry.

**Choose ` + "`degrade`" + ` with care.**
If the legacy service fails, or responds 200 without a valid core, such as a login page,
it may not have authorized the caller.
*never* (the default) passes that response.
*authenticated* gives the extension to a caller whose verified JWT claim equals the first parameter.
*always* gives it to every caller, and ` + "`weft check`" + ` warns about it.

The tables are generated from [the schema](../internal/rulesfile/rules.schema.json):
` + "`go test ./internal/rulesfile -update`" + `.
`
