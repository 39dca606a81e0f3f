package envoy

import (
	"bytes"
	"embed"
	"encoding/json"
	"strings"
	"text/template"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/proto"

	"weft/enrich"
)

//go:embed *.yaml.tmpl
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"json":           toJSON,
	"methods":        methods,
	"rewrite":        rewrite,
	"loosePattern":   loosePattern,
	"exactPattern":   exactPattern,
	"hasFallback":    hasFallback,
	"fallbackScript": func(r *enrich.Rule) string { return fallbackScript([]*enrich.Rule{r}) },
}).ParseFS(templateFiles, "*.yaml.tmpl"))

// render executes a template of YAML documents and formats them, which also proves that they are YAML. Of the comments
// it keeps only those at the beginning.
func render(name string, data any) ([]byte, error) {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, data); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	rest := text.String()
	for strings.HasPrefix(rest, "#") {
		comment, after, _ := strings.Cut(rest, "\n")
		out.WriteString(comment + "\n")
		rest = after
	}
	for i, document := range strings.Split(rest, "---\n") { // strings in JSON have no line breaks
		if i > 0 {
			out.WriteString("---\n")
		}
		if document == "" {
			continue
		}
		fields, err := orderedMap([]byte(document))
		if err != nil {
			return nil, err
		}
		formatted, err := yaml.MarshalWithOptions(fields, yamlOptions()...)
		if err != nil {
			return nil, err
		}
		out.Write(formatted)
	}
	return out.Bytes(), nil
}

// toJSON returns a value as JSON, which is YAML in one line. A message must be valid.
func toJSON(v any) (string, error) {
	m, ok := v.(interface {
		proto.Message
		ValidateAll() error
	})
	if !ok {
		text, err := json.Marshal(v)
		return string(text), err
	}
	if err := m.ValidateAll(); err != nil {
		return "", err
	}
	text, err := messageJSON(m)
	return string(text), err
}
