package rulesfile

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"weft/enrich"
)

// source returns the source of an extension.
func (b *ruleBuilder) source(name string) *enrich.Source {
	n, steps := b.n.get("extensions", name), b.path("extensions", name)
	s := &enrich.Source{
		Name:       name,
		Database:   n.get("database").str(""),
		Collection: n.get("collection").str(""),
		Failed:     n.get("failed").str("Failed to fetch " + name + "."),

		Description: n.get("description").str(""),
	}
	where := slices.Concat(steps, []string{"where"})
	fromCore := 0
	for _, field := range n.get("where").keys {
		c := b.condition(slices.Concat(where, []string{field}), field)
		s.Where = append(s.Where, c)
		if c.From == enrich.FromCore {
			fromCore++
		}
	}
	switch {
	case !n.get("where").isMap:
	case b.rule.List != nil && fromCore != 1 && !b.isBroken(where):
		b.fail(where, "with core.list, exactly one field must equal a member of the element; %s",
			"write, for example, orderId: {core: id, type: int64}")
	case fromCore > 0 && b.rule.StreamLarge:
		b.fail(where, "with large: stream, the extension is read before the core arrives; use param instead of core")
	}
	if n.get("cache").isMap {
		s.Cache = b.cachePolicy(slices.Concat(steps, []string{"cache"}))
	}
	for _, member := range n.get("fields").keys {
		s.Fields = append(s.Fields, b.field(slices.Concat(steps, []string{"fields", member}), member, s))
	}
	return s
}

// Defaults and limits of a cache.
const (
	maxSize         = "64MiB"
	maxAge          = time.Minute
	maxMaxAge       = time.Hour
	maxStaleIfError = 24 * time.Hour
)

func (b *ruleBuilder) cachePolicy(steps []string) *enrich.CachePolicy {
	size := b.root.get(slices.Concat(steps, []string{"max_size"})...).str(maxSize)
	bytes, _ := ParseSize(size) // the schema has checked it
	return &enrich.CachePolicy{
		MaxSize:      bytes,
		MaxAge:       b.duration(slices.Concat(steps, []string{"max_age"}), maxAge, maxMaxAge),
		StaleIfError: b.duration(slices.Concat(steps, []string{"stale_if_error"}), 0, maxStaleIfError),
	}
}

func (b *ruleBuilder) condition(steps []string, field string) enrich.Condition {
	n := b.root.get(steps...)
	c := enrich.Condition{Field: field}
	isMissing := func(kind string) bool { return n.children[kind] == nil }
	kinds := slices.DeleteFunc([]string{"param", "core", "value"}, isMissing)
	if len(kinds) != 1 {
		b.unsure = true
		b.fail(steps, "write one of {param: userId}, {core: /customer/id, type: int64} and {value: active}")
		return c
	}
	typ, hasType := n.children["type"]
	if hasType && kinds[0] != "core" {
		b.fail(append(steps, "type"), "is only for core; parameters and values already have a type; remove it")
	}
	switch kinds[0] {
	case "param":
		var ok bool
		if c.Param, ok = b.param(append(steps, "param"), n.get("param").str("")); ok {
			c.Type = b.params[c.Param].Type
		}
	case "core":
		c.From, c.At = enrich.FromCore, pointer(n.get("core").str(""))
		if !hasType {
			b.fail(steps, "type is missing; write the type of the member: one of %s",
				enrich.TypeNames(enrich.ParamTypes()))
			break
		}
		c.Type, _ = enrich.ParseType(typ.str(""))
	case "value":
		c.From = enrich.FromRule
		switch v := n.get("value").value.(type) {
		case string:
			c.Fixed = enrich.Value{Type: enrich.String, Text: v}
		case bool:
			c.Fixed = enrich.Value{Type: enrich.Bool}
			if v {
				c.Fixed.Int = 1
			}
		case int64:
			c.Fixed = enrich.Value{Type: enrich.Int64, Int: v}
		default:
			b.fail(append(steps, "value"), "%s does not fit a 64-bit integer", n.get("value").text)
		}
		c.Type = c.Fixed.Type
	}
	return c
}

func (b *ruleBuilder) field(steps []string, member string, s *enrich.Source) enrich.Field {
	n := b.root.get(steps...)
	f := enrich.Field{Name: member, Path: n.get("path").str(member), Description: n.get("description").str("")}
	f.Type, _ = enrich.ParseType(n.str(n.get("type").str("")))
	if n.get("path").value == nil && strings.ContainsAny(member, ".$") {
		b.fail(steps, "a name with . or $ needs a path; write {type: …, path: settings.theme}")
	}
	def := n.children["default"]
	if def == nil || f.Type == 0 {
		return f
	}
	f.Default = string(def.json())
	switch _, isKey := s.KeyOf(f, make(enrich.Key, len(s.Where))); {
	case isKey:
		b.fail(append(steps, "default"), "is never used, because documents are found by this field; remove it")
	case !fits(def, f.Type) || !json.Valid([]byte(f.Default)):
		b.fail(append(steps, "default"), "%s is not of type %s; %s", f.Default, f.Type, defaultHint(f.Type))
	}
	return f
}

// fits reports whether a default value has type t.
func fits(n *node, t enrich.Type) bool {
	if t == enrich.Any {
		return true
	}
	switch v := n.value.(type) {
	case string:
		id, isID := enrich.ParseParam(t, v)
		_, err := time.Parse(time.RFC3339, v)
		return t == enrich.String || t == enrich.Date && err == nil || t == enrich.Decimal && isNumber(v) ||
			(t == enrich.ObjectID || t.IsUUID()) && isID && id.Text == v // as documents have it
	case bool:
		return t == enrich.Bool
	case int64:
		return t == enrich.Int64 || t == enrich.Number
	case float64:
		return t == enrich.Number
	case map[string]any:
		return t == enrich.Object
	case []any:
		isNotText := func(e any) bool { _, isText := e.(string); return !isText }
		return t == enrich.Array || t == enrich.Strings && !slices.ContainsFunc(v, isNotText)
	}
	return false
}

// isNumber reports whether a text is a number in JSON.
func isNumber(s string) bool {
	return strings.Trim(s, "+-.0123456789eE") == "" && json.Valid([]byte(s))
}

// defaultHint returns what to write as a default of type t.
func defaultHint(t enrich.Type) string {
	example, ok := map[enrich.Type]string{
		enrich.Int64: "0", enrich.Number: "0.0", enrich.String: `""`, enrich.Bool: "false", enrich.Strings: "[]",
		enrich.Decimal: `"0"`, enrich.Date: `"2020-02-29T12:34:56Z"`, enrich.Array: "[]", enrich.Object: "{}",
	}[t]
	if !ok {
		return "remove it"
	}
	return "write, for example, " + example
}
