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

const docHead = `# The rules file

This page is generated from [the schema](../internal/rulesfile/rules.schema.json):
` + "`go test ./internal/rulesfile -update`" + `.

A rules file says which responses of the legacy service are joined with which documents of MongoDB.
Complete files that are run by a test: [a user profile](../examples/user-profile/rules.yaml),
[a list of orders](../examples/orders/rules.yaml),
[a product with two collections](../examples/products/rules.yaml).

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
` + "`weft schema`" + ` prints the schema, with which editors complete and check.

**Parameters** match in one spelling only, and nothing is decoded: an int64 without leading zeros or a plus, a UUID or
ObjectId in lower case, a string of letters, digits and ` + "`- . _ ~`" + `.
A request with another spelling passes to the legacy service untouched, since two systems may read it in two ways.
For MongoDB a parameter is only ever a value: no text becomes an operator.

**The core** keeps its bytes.
In shape *composite*, a core that is missing or not as the rule says is ` + "`null`" + `,
and ` + "`errors`" + ` says so.
Shape *merge* and lists have no place for a missing core: such a response passes as it is.
So does a failure of any request other than GET.
A core that has a member with the name of an extension passes as it is, too.

**No document** is not an error: the extension has the defaults of its fields, or is ` + "`null`" + ` if one has none.
A document with a field of a wrong type, or without a field that has no default, is an error:
the extension is ` + "`null`" + `, and ` + "`errors`" + ` says so.

**Choose ` + "`degrade`" + ` with care.** If the legacy service fails, or answers 200 with something that is not a core
(a login page, for example), nobody may have authorized the caller.
*never* (the default) lets that response pass.
*authenticated* gives the extension to the caller whose token Envoy's jwt_authn filter has verified.
*always* gives it to every caller.
`
