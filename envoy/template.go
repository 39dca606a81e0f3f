package envoy

import (
	"bytes"
	"embed"
	"encoding/json"
	"path"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"weft/enrich"
)

//go:embed *.yaml.tmpl
var templateFiles embed.FS

//nolint:gochecknoglobals // parsed once
var templates = template.Must(template.New("").Option("missingkey=error").Funcs(template.FuncMap{
	"json":           toJSON,
	"seconds":        func(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" },
	"methods":        methods,
	"rewrite":        rewrite,
	"loosePattern":   loosePattern,
	"exactPattern":   exactPattern,
	"fingerprint":    Fingerprint,
	"sni":            TLS.sni,
	"sanType":        TLS.sanType,
	"join":           path.Join,
	"dir":            path.Dir,
	"fallbackScript": fallbackScript,
	"needsScript":    needsScript,
	"list":           func(rules ...*enrich.Rule) []*enrich.Rule { return rules },
	"policy":         policyData,
	"httpRoute":      httpRoute,
}).ParseFS(templateFiles, "*.yaml.tmpl"))

// render executes a template of YAML documents and formats them, which also validates them. It keeps only the comments
// at the beginning.
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

// merge executes a template of one YAML document, and merges its fields into m. A field that m does not have is an
// error.
func merge(m proto.Message, name string, data any) error {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, data); err != nil {
		return err
	}
	var fields map[string]any
	if err := yaml.Unmarshal(text.Bytes(), &fields); err != nil {
		return err
	}
	jsonText, err := json.Marshal(fields)
	if err != nil {
		return err
	}
	part := m.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal(jsonText, part); err != nil {
		return err
	}
	proto.Merge(m, part)
	return nil
}

// toJSON returns a value as JSON, which is YAML on one line. Templates quote user input with it. It rejects invalid
// messages.
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
