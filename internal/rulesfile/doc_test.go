package rulesfile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// TestDoc compares docs/rules.md with the schema, from which it is made.
func TestDoc(t *testing.T) {
	var schema yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(Schema, &schema, yaml.UseOrderedMap()); err != nil {
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
		t.Errorf("docs/rules.md is not what the schema says: go test ./internal/rulesfile -run TestDoc -update (%v)", err)
	}
}

// doc is the text that a schema makes.
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
		fmt.Fprintf(d, "| `%s%s` | %s | %s |\n", prefix, name, strings.ReplaceAll(kindOf(value), "|", `\|`), strings.ReplaceAll(description, "|", `\|`))
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

Made from [the schema](../internal/rulesfile/rules.schema.json) by ` + "`go test ./internal/rulesfile -run TestDoc -update`" + `. A rules file says which
responses of the legacy service are joined with which documents of MongoDB. Whole ones that are run by a test: [a user
profile](../examples/user-profile/rules.yaml), [a list of orders](../examples/orders/rules.yaml), [a product with two
collections](../examples/products/rules.yaml).

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

` + "`weft check rules.yaml`" + ` says all that is wrong with one, ` + "`weft explain GET /api/v1/users/7 rules.yaml`" + ` what it means, and ` + "`weft schema`" + ` prints the
schema, with which editors complete.

**Parameters** match in one spelling only, and nothing is decoded: an int64 without leading zeros or a plus, a UUID or ObjectId in small
letters, a string of letters, digits and ` + "`- . _ ~`" + `. What is spelled otherwise passes to the legacy service untouched, since two systems may read it
in two ways. To MongoDB a parameter only ever is a value: no text makes an operator of it.

**The core** keeps its bytes. In shape *composite* a core that is missing or not as the rule says is ` + "`null`" + `, and ` + "`errors`" + ` says so. In shape
*merge*, and in lists, there is no place for that: such a response passes as it is. So does a failure of any request but GET. A core that has a member with
the name of an extension passes as it is, too.

**No document** is no error: the extension has the defaults of its fields, or is ` + "`null`" + ` if one of them has none. A document that is there with a
field of a wrong type, or without one that has no default, is an error: the extension is ` + "`null`" + `, and ` + "`errors`" + ` says so.

**Mind what ` + "`degrade`" + ` means.** When the legacy service fails, or answers 200 with something that is no core (a login
page, say), nobody is known to have checked who is asking. *never* (the default) lets that pass;
*authenticated* gives the extension to the one whose token Envoy's jwt_authn filter has verified; *always* gives it to whoever asks.
`
