package rulesfile

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"weft/enrich"
	"weft/envoy/defaults"
)

// TestSchemaGenerated checks that types, shapes and defaults in the schema are those of the code.
func TestSchemaGenerated(t *testing.T) {
	schema := generatedSchema(t)
	if *update {
		if err := os.WriteFile("rules.schema.json", []byte(schema), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if schema != string(Schema) {
		t.Error("rules.schema.json is out of date: go test ./internal/rulesfile -update")
	}
	for key, value := range map[string]any{
		"route_timeout": defaults.RouteTimeout, "message_timeout": defaults.MessageTimeout, "retries": defaults.Retries,
		"legacy_idle_timeout": defaults.LegacyIdleTimeout,
	} {
		if !regexp.MustCompile(fmt.Sprintf(`"%s": .* Default %v\."`, key, value)).MatchString(schema) {
			t.Errorf("the schema does not mention that %s defaults to %v", key, value)
		}
	}
}

// generatedSchema returns the schema with the types and shapes of package enrich.
func generatedSchema(t *testing.T) string {
	schema := string(Schema)
	set := func(pattern string, value any) {
		t.Helper()
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		re := regexp.MustCompile(pattern)
		if !re.MatchString(schema) {
			t.Errorf("the schema has no %s", pattern)
		}
		schema = re.ReplaceAllString(schema, "${1}"+strings.ReplaceAll(string(text), `","`, `", "`)+"${2}")
	}
	set(`("paramType": { "enum": )\[.*\]( })`, names(enrich.ParamTypes()))
	set(`("coreType": { "enum": )\[.*\]( })`, names(enrich.CoreTypes()))
	set(`("fieldType": { "enum": )\[.*\]( })`, names(enrich.FieldTypes()))
	set(`("shape": { "enum": )\[.*\](, "description")`, names(enrich.Shapes()))
	about := "How core and extensions become one response."
	for _, shape := range enrich.Shapes() {
		about += " " + shape.About() + "."
	}
	set(`("shape": { "enum": \[.*\], "description": )".*"( })`, about+" Default "+enrich.Shape(0).String()+".")
	return schema
}

func names[T fmt.Stringer](values []T) (names []string) {
	for _, v := range values {
		names = append(names, v.String())
	}
	return names
}
