package rulesfile

import (
	"slices"
	"strings"
	"time"

	"weft/enrich"
)

// source makes the source of an extension.
func (b *ruleBuilder) source(name string) *enrich.Source {
	n := b.n.get("extensions", name)
	steps := b.path("extensions", name)
	s := &enrich.Source{
		Name:       name,
		Database:   n.get("database").str(""),
		Collection: n.get("collection").str(""),
		Failed:     n.get("failed").str("Failed to fetch " + name + "."),
	}
	late := 0
	for _, field := range n.get("where").keys {
		if c, ok := b.condition(slices.Concat(steps, []string{"where", field}), field); ok {
			s.Where = append(s.Where, c)
			if c.From == enrich.FromCore {
				late++
			}
		}
	}
	switch {
	case b.rule.List != nil && late != 1:
		b.fail(append(steps, "where"), "in a list exactly one field is compared with a member of the element: write, for example, orderId: {core: id, type: int64}")
	case late > 0 && b.rule.Large == enrich.StreamLarge:
		b.fail(append(steps, "where"), "with large: stream the core is not there when the extension is read; compare with parameters only")
	}
	for _, member := range n.get("fields").keys {
		s.Fields = append(s.Fields, b.field(slices.Concat(steps, []string{"fields", member}), member, s))
	}
	return s
}

func (b *ruleBuilder) condition(steps []string, field string) (enrich.Condition, bool) {
	n := b.root.get(steps...)
	c := enrich.Condition{Field: field}
	var kinds []string
	for _, kind := range []string{"param", "core", "value"} {
		if n.children[kind] != nil {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) != 1 {
		b.fail(steps, "want one of param, core and value: {param: userId}, {core: /customer/id, type: int64} or {value: active}")
		return c, false
	}
	if n.children["type"] != nil && kinds[0] != "core" {
		b.fail(append(steps, "type"), "is for core; a parameter has its type in the path, a value its own")
	}
	switch kinds[0] {
	case "param":
		var ok bool
		c.Param, ok = b.param(append(steps, "param"), n.get("param").str(""))
		return c, ok
	case "core":
		c.From, c.At = enrich.FromCore, pointer(n.get("core").str(""))
		if c.Type = typeOf(n.get("type").str("")); c.Type == 0 {
			b.fail(steps, "type is missing; write what the member is: int64, string, uuid or objectid")
			return c, false
		}
	case "value":
		c.From = enrich.FromRule
		switch v := n.get("value").scalar.(type) {
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
			b.fail(append(steps, "value"), "%s is over all 64-bit integers", n.get("value").text)
		}
	}
	return c, true
}

func (b *ruleBuilder) field(steps []string, member string, s *enrich.Source) enrich.Field {
	n := b.root.get(steps...)
	f := enrich.Field{Name: member, Path: n.get("path").str(member), Type: typeOf(n.str(n.get("type").str("")))}
	if n.get("path").scalar == nil && strings.ContainsAny(member, ".$") {
		b.fail(steps, "a name with . or $ needs a path: write {type: …, path: settings.theme}")
	}
	isKey := slices.ContainsFunc(s.Where, func(c enrich.Condition) bool { return c.Field == f.Path })
	def := n.children["default"]
	switch {
	case def == nil:
	case isKey:
		b.fail(append(steps, "default"), "is never used: the field is what documents are looked for by, so that it is always there")
	default:
		text, err := def.json()
		if err != nil || !fits(def, f.Type) {
			b.fail(append(steps, "default"), "%s is no default for %s; %s", def.describe(), typeName(f.Type), defaultHint(f.Type))
			break
		}
		f.Default = string(text)
	}
	return f
}

// describe is the value as a message shows it.
func (n *node) describe() string {
	text, err := n.json()
	if err != nil {
		return "this"
	}
	return string(text)
}

// fits reports whether a default is of a type.
func fits(n *node, t enrich.Type) bool {
	switch v := n.scalar.(type) {
	case string:
		switch t {
		case enrich.Date:
			_, err := time.Parse(time.RFC3339, v)
			return err == nil
		case enrich.ObjectID, enrich.UUID:
			_, ok := enrich.ParseParam(t, v)
			return ok
		default:
			return t == enrich.String || t == enrich.Any
		}
	case bool:
		return t == enrich.Bool || t == enrich.Any
	case int64:
		return t == enrich.Int64 || t == enrich.Number || t == enrich.Any
	case float64:
		return t == enrich.Number || t == enrich.Any
	}
	switch {
	case n.isMap:
		return t == enrich.Object || t == enrich.Any
	case n.isList:
		text := func(e *node) bool { _, ok := e.scalar.(string); return ok }
		return t == enrich.Array || t == enrich.Any || t == enrich.Strings && !slices.ContainsFunc(n.elements, func(e *node) bool { return !text(e) })
	default:
		return t == enrich.Any // null
	}
}

func defaultHint(t enrich.Type) string {
	switch t {
	case enrich.Int64:
		return "write, for example, 0"
	case enrich.Number:
		return "write, for example, 0.0"
	case enrich.String:
		return `write, for example, ""`
	case enrich.Bool:
		return "write true or false"
	case enrich.Date:
		return `write, for example, "2020-02-29T12:34:56Z"`
	case enrich.Strings, enrich.Array:
		return "write, for example, []"
	case enrich.Object:
		return "write, for example, {}"
	default:
		return "write it as the type is spelled, or leave it out"
	}
}
