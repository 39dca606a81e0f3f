package envoy

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"weft/enrich"
)

//go:embed fallback.lua
var fallbackCode string

const fallbackFilterName = "envoy.filters.http.lua"

// needsScript reports whether the Lua filter is needed for a rule.
func needsScript(r *enrich.Rule) bool { return r.Fallback || r.Keep.Cache }

// fallbackFilters returns the Lua filter for exchanges that weft cannot complete, or nil if no rule needs it: it
// preserves the shape of responses while weft is down, and hides a 304 to conditions of a weft that has ended since. It
// precedes ext_proc, so that it processes a response after ext_proc.
func fallbackFilters(rules []*enrich.Rule) []*hcmv3.HttpFilter {
	rules = slices.DeleteFunc(slices.Clone(rules), func(r *enrich.Rule) bool { return !needsScript(r) })
	if len(rules) == 0 {
		return nil
	}
	return []*hcmv3.HttpFilter{{
		Name:     fallbackFilterName,
		Disabled: true, // a route with a configuration for the filter enables it
		ConfigType: httpFilterConfig(&luav3.Lua{
			DefaultSourceCode: inline(fallbackScript(rules)),
			ClearRouteCache:   wrapperspb.Bool(false), // the headers that the script changes select no route
		}),
	}}
}

// fallbackPerRoute enables the fallback on the route of a rule.
func fallbackPerRoute(r *enrich.Rule) *luav3.LuaPerRoute {
	return &luav3.LuaPerRoute{FilterContext: &structpb.Struct{
		Fields: map[string]*structpb.Value{"rule": structpb.NewStringValue(r.Name)},
	}}
}

// fallbackScript returns fallback.lua with the tables that it reads. Where the script matches rules itself, it also
// needs the rules without a fallback: the first rule that matches counts.
func fallbackScript(rules []*enrich.Rule) string {
	var b strings.Builder
	var names []string
	b.WriteString("local rules = {\n")
	for _, r := range rules {
		writeRuleTable(&b, r)
		names = append(names, r.Name)
	}
	fmt.Fprintf(&b, "}\nlocal order = %s\n", luaStrings(names))
	fmt.Fprintf(&b, "local conditions = %s\n", luaStrings(enrich.LegacyRequest("GET", "").Remove))
	fmt.Fprintf(&b, "local body_headers = %s\n\n", luaStrings(enrich.Answer{}.Headers().Remove))
	return b.String() + fallbackCode
}

// writeRuleTable writes a rule as an element of the Lua table "rules".
func writeRuleTable(b *strings.Builder, r *enrich.Rule) {
	path := "^" + pattern(r.Path, quoteLuaPattern, func(enrich.Param) string { return "([^/]*)" }) + "$"
	var list, params, query, core []string
	for _, m := range methods(r) {
		list = append(list, fmt.Sprintf("[%s] = true", luaString(m)))
	}
	for _, p := range r.Path.Params() {
		params = append(params, p.Type.String())
	}
	for _, q := range r.Query {
		key, value := "type", q.Type.String()
		if q.Type == 0 {
			key, value = "value", q.Fixed
		}
		query = append(query, fmt.Sprintf("{ name = %s, %s = %s }", luaString(q.Name), key, luaString(value)))
	}
	for _, f := range r.Core {
		if names := f.At.Names(); len(names) == 1 { // the script checks only top-level members
			core = append(core, fmt.Sprintf("[%s] = %s", luaString(names[0]), luaString(f.Type.String())))
		}
	}
	host := "nil" // any
	if r.Host != "" {
		host = luaString(strings.ToLower(r.Host))
	}
	set := func(field, value string) { fmt.Fprintf(b, "    %s = %s,\n", field, value) }
	fmt.Fprintf(b, "  [%s] = {\n", luaString(r.Name))
	set("name", luaString(r.Name))
	set("methods", luaTable(list))
	set("host", host)
	set("path", luaString(path))
	set("params", luaStrings(params))
	set("query", luaTable(query))
	set("runs", strconv.FormatBool(needsScript(r)))
	set("validates", strconv.FormatBool(r.Keep.Cache))
	set("both_failed", luaString(string(r.Unavailable())))
	set("content_type", luaString(r.ContentType))
	set("fallback", strconv.FormatBool(r.Fallback))
	if r.Fallback {
		head, tail := r.Frame()
		set("limit", strconv.Itoa(r.CoreLimit))
		set("degrade", strconv.FormatBool(r.Degrade == enrich.DegradeAlways)) // the script verifies no caller
		set("degrade_not_found", strconv.FormatBool(r.DegradeNotFound))
		set("head", luaString(string(head)))
		set("tail", luaString(string(tail)))
		set("core", luaTable(core))
	}
	b.WriteString("  },\n")
}

// quoteLuaPattern returns a Lua pattern that matches s.
func quoteLuaPattern(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte("^$()%.[]*+-?", c) >= 0 {
			b.WriteByte('%')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// luaString returns s as a Lua literal. Other bytes than printable ASCII are decimal escapes, the only ones in Lua 5.1.
func luaString(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == '"' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\%03d`, c)
		default:
			b.WriteByte(c)
		}
	}
	return `"` + b.String() + `"`
}

func luaStrings(list []string) string {
	var quoted []string
	for _, s := range list {
		quoted = append(quoted, luaString(s))
	}
	return luaTable(quoted)
}

func luaTable(elements []string) string { return "{ " + strings.Join(elements, ", ") + " }" }
