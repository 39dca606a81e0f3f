package openapi_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"weft/internal/openapi"
	"weft/internal/rulesfile"
)

var update = flag.Bool("update", false, "write testdata/*.json")

// TestDocument compares the descriptions of rules with testdata, and validates them. The rules are those of the
// examples and of testdata.
func TestDocument(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/rules.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("%q, %v", files, err)
	}
	files = append(files, "testdata/variants/rules.yaml")
	for _, file := range files {
		name := filepath.Base(filepath.Dir(file))
		t.Run(name, func(t *testing.T) {
			f, err := rulesfile.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			example := json.RawMessage(`{"core":{"userId":7,"b":1.50e1,"a":"<&>"},"extension":null,"errors":[]}`)
			got, err := openapi.Document(f.Rules, "1", map[string]json.RawMessage{"composite-profile": example})
			if err != nil {
				t.Fatal(err)
			}
			golden := "testdata/" + name + ".json"
			if *update {
				if err := os.WriteFile(golden, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || string(want) != string(got) {
				t.Errorf("%s is out of date: go test ./internal/openapi -update (%v)", golden, err)
			}
			loader := openapi3.NewLoader()
			doc, err := loader.LoadFromData(got)
			if err != nil {
				t.Fatal(err)
			}
			if err := doc.Validate(loader.Context, openapi3.DisableExamplesValidation()); err != nil {
				t.Error(err)
			}
		})
	}
}
