// Package openapi describes what clients of rules get, in OpenAPI 3.1. It writes the document itself: a library would
// add 0.5 to 11 MB to the binary, and would not keep the order of fields. Tests validate the document with a library.
package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"weft/enrich"
)

// Document returns the description of rules. The version identifies the rules; examples are responses, by the name of
// the rule.
func Document(rules []*enrich.Rule, version string, examples map[string]json.RawMessage) ([]byte, error) {
	paths, schemas := &object{}, &object{}
	for _, group := range groups(rules) {
		paths.child(group.path).set(strings.ToLower(group.method), group.operation(examples))
	}
	for _, r := range rules {
		schemas.set(r.Name, answerSchema(r))
		if r.Shape != enrich.ShapeMerge {
			schemas.set(r.Name+".core", listOf(r, coreSchema(r)))
		}
	}
	document := object{
		{"openapi", "3.1.1"},
		{"info", object{
			{"title", "Responses of weft"},
			{"description", "Responses of a legacy service, joined with documents by weft. Requests to other paths, and " +
				"with other values of parameters, pass to the legacy service."},
			{"version", version},
		}},
		{"paths", paths},
		{"components", object{{"schemas", schemas}}},
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(document)
	return b.Bytes(), err
}

// group is the rules of one operation: OpenAPI has one for each path and method. Rules can also differ in their host
// and query.
type group struct {
	path, method string
	rules        []*enrich.Rule
}

// parameter matches a parameter in a template, with or without its type.
var parameter = regexp.MustCompile(`{([^}:]*)(:[^}]*)?}`)

func groups(rules []*enrich.Rule) (groups []*group) {
	paths := map[string]string{} // by the path without the names of parameters: two paths may not differ only in these
	for _, r := range rules {
		shape := parameter.ReplaceAllString(r.Path.String(), "{}")
		path, ok := paths[shape]
		if !ok {
			path = parameter.ReplaceAllString(r.Path.String(), "{$1}")
			paths[shape] = path
		}
		for _, method := range r.Methods {
			i := slices.IndexFunc(groups, func(g *group) bool { return g.path == path && g.method == method })
			if i < 0 {
				i = len(groups)
				groups = append(groups, &group{path: path, method: method})
			}
			groups[i].rules = append(groups[i].rules, r)
		}
	}
	return groups
}

func (g *group) operation(examples map[string]json.RawMessage) *object {
	first := g.rules[0]
	operation := &object{{"operationId", first.Name}}
	if len(first.Methods) > 1 {
		operation.set("operationId", first.Name+"-"+strings.ToLower(g.method))
	}
	var about []string
	for _, r := range g.rules {
		text := r.Description
		if r.Host != "" {
			text = strings.TrimSpace(fmt.Sprintf("Host %s. %s", r.Host, text))
		}
		if text != "" && !slices.Contains(about, text) {
			about = append(about, text)
		}
	}
	if len(about) > 0 {
		operation.set("description", strings.Join(about, "\n\n"))
	}
	if parameters := g.parameters(); len(parameters) > 0 {
		operation.set("parameters", parameters)
	}
	operation.set("responses", g.responses(examples))
	return operation
}

// parameters returns the parameters of the path and the query. Those that only some rules have are optional.
func (g *group) parameters() (parameters []*object) {
	for i, name := range parameter.FindAllStringSubmatch(g.path, -1) {
		var schemas []*object
		for _, r := range g.rules {
			schemas = append(schemas, paramSchema(r.Path.Params()[i].Type))
		}
		parameters = append(parameters, &object{
			{"name", name[1]}, {"in", "path"}, {"required", true}, {"schema", anyOf(schemas)},
		})
	}
	var names []string
	schemas := map[string][]*object{}
	for _, r := range g.rules {
		for _, q := range r.Query {
			schema := &object{{"const", q.Fixed}}
			if q.Type != 0 {
				schema = paramSchema(q.Type)
			}
			if schemas[q.Name] == nil {
				names = append(names, q.Name)
			}
			schemas[q.Name] = append(schemas[q.Name], schema)
		}
	}
	for _, name := range names {
		parameters = append(parameters, &object{
			{"name", name},
			{"in", "query"},
			{"required", len(schemas[name]) == len(g.rules)},
			{"schema", anyOf(schemas[name])},
		})
	}
	for _, r := range g.rules {
		if !allowsSelection(r) || slices.Contains(names, r.Select.Param) {
			continue
		}
		names = append(names, r.Select.Param)
		parameters = append(parameters, &object{
			{"name", r.Select.Param},
			{"in", "query"},
			{"description", "Members of the response to return; without it, all. Besides these names, a core may have more."},
			{"style", "form"},
			{"explode", false},
			{"schema", object{
				{"type", "array"}, {"items", object{{"type", "string"}, {"examples", r.Selectable()}}},
			}},
		})
	}
	return parameters
}

// responses returns the responses of the rules of a group.
func (g *group) responses(examples map[string]json.RawMessage) *object {
	answers, unavailable, problem := &object{}, &object{}, false
	for _, r := range g.rules {
		contentType := r.ContentType
		schemas := []*object{schemaRef(r.Name)}
		if r.Shape == enrich.ShapeMerge {
			contentType = "application/json"
		} else {
			schemas = append(schemas, schemaRef(r.Name+".core")) // the response passes
		}
		addContent(answers, contentType, schemas, examples[r.Name])
		if isCoreOptional(r) {
			addContent(unavailable, r.ContentType, []*object{{
				{"type", "object"},
				{"required", []string{"detail"}},
				{"properties", object{{"detail", object{{"const", r.Messages.BothFailed}}}}},
			}}, nil)
		}
		problem = problem || allowsSelection(r) && !r.Select.IgnoreUnknown
	}
	answers.set("*/*", object{})
	responses := &object{
		{"2XX", object{
			{"description", "The composite response, with null for what could not be read. If x-weft is passed or missing, " +
				"it is the response of the legacy service."},
			{"headers", object{
				{enrich.OutcomeHeader, header("composed, streamed, degraded or passed, with the reason. " +
					"Without it, weft has not processed the response.")},
				{"etag", header("Entity tag of a complete composite response.")},
			}},
			{"content", answers},
		}},
		{"206", object{{"description", "The response of the legacy service."}}},
		{"304", object{{"description", "The client has the response already (If-None-Match)."}}},
	}
	if problem {
		responses.set("400", object{
			{"description", "The request selects names that do not exist; or the response of the legacy service."},
			{"content", object{{"application/problem+json", object{{"schema", problemSchema()}}}, {"*/*", object{}}}},
		})
	}
	if len(*unavailable) > 0 {
		unavailable.set("*/*", object{})
		responses.set("503", object{
			{"description", "Core and extensions failed; or, without x-weft, the response of the legacy service."},
			{"content", unavailable},
		})
	}
	responses.set("default", object{{"description", "The response of the legacy service or of the proxy, which passes."}})
	return responses
}

func header(description string) object {
	return object{{"description", description}, {"schema", object{{"type", "string"}}}}
}

// addContent adds schemas to those of a media type, and an example.
func addContent(content *object, contentType string, schemas []*object, example json.RawMessage) {
	media := content.child(contentType)
	if known, ok := media.get("schema").(*object); ok {
		options, isList := known.get("anyOf").([]*object)
		if !isList {
			options = []*object{known}
		}
		schemas = append(options, schemas...)
	}
	media.set("schema", anyOf(schemas))
	if example != nil && media.get("example") == nil {
		media.set("example", example)
	}
}

// anyOf returns a schema for values of any of several schemas.
func anyOf(schemas []*object) *object {
	var different []*object
	for _, s := range schemas {
		if !slices.ContainsFunc(different, func(other *object) bool { return reflect.DeepEqual(s, other) }) {
			different = append(different, s)
		}
	}
	if len(different) == 1 {
		return different[0]
	}
	return &object{{"anyOf", different}}
}

func schemaRef(name string) *object { return &object{{"$ref", "#/components/schemas/" + name}} }

// problemSchema returns the schema of [enrich.Rule.RejectSelection].
func problemSchema() object {
	texts := object{{"type", "array"}, {"items", object{{"type", "string"}}}}
	return object{
		{"type", "object"},
		{"required", []string{"title", "status", "detail", "unknown", "known"}},
		{"properties", object{
			{"title", object{{"type", "string"}}},
			{"status", object{{"const", http.StatusBadRequest}}},
			{"detail", object{{"type", "string"}}},
			{"unknown", texts},
			{"known", texts},
		}},
	}
}
