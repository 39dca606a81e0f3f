package openapi

import (
	"encoding/json"
	"slices"

	"weft/enrich"
)

// answerSchema returns the schema of the answers that weft composes for a rule.
func answerSchema(r *enrich.Rule) *object {
	if r.Shape == enrich.ShapeMerge {
		return listOf(r, mergeSchema(r))
	}
	return listOf(r, compositeSchema(r))
}

// compositeSchema returns the schema of an object with the core, the extensions and the errors.
func compositeSchema(r *enrich.Rule) *object {
	core := coreSchema(r)
	if isCoreOptional(r) {
		core.set("type", []string{"object", "null"})
	}
	if allowsSelection(r) {
		*core = core.without("required")
	}
	properties := &object{{r.Members.Core, core}}
	required := []string{r.Members.Core}
	messages := []string{}
	if isCoreOptional(r) {
		messages = append(messages, r.Messages.CoreFailed)
	}
	for _, s := range r.Sources {
		properties.set(s.Name, extensionSchema(r, s))
		required = append(required, s.Name)
		messages = append(messages, s.Failed)
	}
	if allowsSelection(r) {
		required = nil
	}
	properties.set(r.Members.Errors, errorsSchema(messages))
	return &object{
		{"type", "object"},
		{"required", append(required, r.Members.Errors)},
		{"properties", properties},
		{"additionalProperties", false},
	}
}

// mergeSchema returns the schema of a core with the extensions. They are optional, because a response that passes does
// not have them.
func mergeSchema(r *enrich.Rule) *object {
	core := coreSchema(r)
	target := objectAt(core, r.MergeAt.Names(), true)
	if allowsSelection(r) {
		*target = target.without("required")
	}
	var messages []string
	for _, s := range r.Sources {
		target.child("properties").set(s.Name, extensionSchema(r, s))
		messages = append(messages, s.Failed)
	}
	target.child("properties").set(r.Members.Errors, errorsSchema(messages))
	return core
}

// isCoreOptional reports whether an answer can have null for the core.
func isCoreOptional(r *enrich.Rule) bool {
	return r.AllowsMissingCore() && (r.Degrade != enrich.DegradeNever || r.DegradeNotFound)
}

func allowsSelection(r *enrich.Rule) bool { return r.Select.Param != "" }

func errorsSchema(messages []string) *object {
	return &object{{"type", "array"}, {"items", &object{{"type", "string"}, {"examples", messages}}}}
}

// coreSchema returns the schema of one core: the members that the rule requires. A core may have others.
func coreSchema(r *enrich.Rule) *object {
	core := &object{{"type", "object"}}
	for _, f := range r.Core {
		names := f.At.Names()
		if len(names) == 0 {
			continue
		}
		last := len(names) - 1
		parent := objectAt(core, names[:last], true)
		if parent.child("properties").get(names[last]) == nil {
			value := typeSchema(f.Type).without("format") // an integer of a core has any size
			parent.child("properties").set(names[last], &value)
		}
		require(parent, names[last])
	}
	core.set("additionalProperties", true)
	return core
}

// objectAt returns the schema of an object within another one. It creates missing ones.
func objectAt(schema *object, names []string, isRequired bool) *object {
	for _, name := range names {
		if isRequired {
			require(schema, name)
		}
		schema = schema.child("properties").child(name)
		schema.set("type", "object")
	}
	return schema
}

func require(schema *object, name string) {
	required, _ := schema.get("required").([]string)
	if !slices.Contains(required, name) {
		schema.set("required", append(required, name))
	}
}

// listOf returns the schema of the response with a schema for each core: the list, in the object that contains it.
func listOf(r *enrich.Rule, one *object) *object {
	if r.List == nil {
		return one
	}
	list := &object{{"type", "array"}, {"items", one}}
	names := r.List.Names()
	if len(names) == 0 {
		return list
	}
	schema := &object{{"type", "object"}}
	last := len(names) - 1
	parent := objectAt(schema, names[:last], true)
	require(parent, names[last])
	parent.child("properties").set(names[last], list)
	return schema
}

// extensionSchema returns the schema of an extension. It is null if the read failed.
func extensionSchema(r *enrich.Rule, s *enrich.Source) *object {
	schema := &object{{"type", []string{"object", "null"}}}
	if s.Description != "" {
		schema.set("description", s.Description)
	}
	properties, required := &object{}, []string{}
	for _, f := range s.Fields {
		field := typeSchema(f.Type)
		if f.Description != "" {
			field.set("description", f.Description)
		}
		if f.Default != "" {
			field.set("default", json.RawMessage(f.Default))
		}
		properties.set(f.Name, field)
		required = append(required, f.Name)
	}
	if !allowsSelection(r) {
		schema.set("required", required)
	}
	schema.set("properties", properties)
	schema.set("additionalProperties", false)
	return schema
}

// typeSchema returns the schema of a parameter or of a field.
func typeSchema(t enrich.Type) *object {
	switch t {
	case enrich.Int64:
		return &object{{"type", "integer"}, {"format", "int64"}}
	case enrich.Number:
		return &object{{"type", []string{"number", "null"}}, {"description", "null for NaN and infinities"}}
	case enrich.Bool:
		return &object{{"type", "boolean"}}
	case enrich.Date:
		return &object{{"type", "string"}, {"format", "date-time"}}
	case enrich.ObjectID:
		return &object{{"type", "string"}, {"pattern", "^[0-9a-f]{24}$"}}
	case enrich.UUID, enrich.UUIDCSharp, enrich.UUIDJava, enrich.UUIDPython:
		return &object{{"type", "string"}, {"format", "uuid"}}
	case enrich.Strings:
		return &object{{"type", "array"}, {"items", &object{{"type", "string"}}}}
	case enrich.Array:
		return &object{{"type", "array"}}
	case enrich.Object:
		return &object{{"type", "object"}, {"additionalProperties", true}}
	case enrich.Any:
		return &object{}
	default:
		return &object{{"type", "string"}}
	}
}

// paramSchema returns the schema of a parameter. Other values pass to the legacy service.
func paramSchema(t enrich.Type) *object {
	if t == enrich.Int64 || t.IsUUID() {
		return typeSchema(t)
	}
	return &object{{"type", "string"}, {"pattern", "^(" + t.Pattern() + ")$"}}
}
