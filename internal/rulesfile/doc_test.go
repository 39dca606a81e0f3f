package rulesfile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestDoc compares docs/rules.md with the schema, from which it is generated.
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

// doc is the text made of a schema.
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
			continue // a section of its own
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

A rules file says which responses of the legacy service are joined with which documents of MongoDB.

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

These complete files are run by tests: [a user profile](../examples/user-profile/rules.yaml),
[a list of orders](../examples/orders/rules.yaml),
[a product with two collections](../examples/products/rules.yaml).

` + "`weft check rules.yaml`" + ` reports all errors.
` + "`weft explain GET /api/v1/users/7 rules.yaml`" + ` shows the query and the shape of the answer.
` + "`weft schema`" + ` prints a JSON Schema for your editor.

**To add a field**, add a line to ` + "`fields`" + `: its name, its type, and a default if documents may lack it.
weft reloads the file; Envoy needs no change.

**Parameters** match in one spelling only, and nothing is decoded: an int64 without leading zeros or a plus, a UUID or
ObjectId in lower case, a string of letters, digits and ` + "`- . _ ~`" + `.
A request with another spelling passes unchanged, because two systems may read it in two ways.
For MongoDB a parameter is always a value, never an operator.

**The core** keeps its bytes.
If it is missing or invalid in shape *composite*, ` + "`core` is `null`, and `errors`" + ` says so.
Shape *merge* and lists need a core: without one, the response passes unchanged.
So does a failed request other than GET, and a core with a member that has the name of an extension.

**No document** is not an error: the extension has the defaults of its fields, or is ` + "`null`" + ` if one has none.
If a field has a wrong type, or is missing without a default, the extension is ` + "`null`, and `errors`" + ` says so.

**Choose ` + "`degrade`" + ` with care.**
If the legacy service fails, or answers 200 with something else, such as a login page, nobody has authorized the caller.
*never* (the default) passes that response.
*authenticated* gives the extension to the caller whose token Envoy's jwt_authn filter has verified.
*always* gives it to every caller, and ` + "`weft check`" + ` warns about it.

The tables are generated from [the schema](../internal/rulesfile/rules.schema.json):
` + "`go test ./internal/rulesfile -update`" + `.
`
