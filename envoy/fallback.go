package envoy

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"weft/enrich"
)

//go:embed fallback.lua
var fallbackCode string

//go:embed fallback_request.lua
var fallbackRequestCode string

const fallbackName = "envoy.filters.http.lua"

// certainScript is the name of the script for routes that take no request which weft would not take: it does not look at requests.
const certainScript = "certain"

// fallbackFilters keep the shape of the rules' answers while weft is down; none if no rule asks for that. They stand before ext_proc in the
// list, so that they see the response after it.
func fallbackFilters(c Config) []*hcmv3.HttpFilter {
	if !slices.ContainsFunc(c.Rules, keepsShape) {
		return nil
	}
	return []*hcmv3.HttpFilter{{
		Name:     fallbackName,
		Disabled: true, // but for the routes of rules that keep their shape
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&luav3.Lua{
			DefaultSourceCode: inline(fallbackScript(c.Rules, fallbackRequestCode+fallbackCode)),
			SourceCodes:       map[string]*corev3.DataSource{certainScript: inline(fallbackScript(c.Rules, fallbackCode))},
		})},
	}}
}

func keepsShape(r *enrich.Rule) bool { return r.Fallback == enrich.FallbackComposite }

// fallbackOf has a route keep the shape of a rule, with a script of the filter's; the default one for "".
func fallbackOf(r *enrich.Rule, script string) *luav3.LuaPerRoute {
	route := &luav3.LuaPerRoute{FilterContext: &structpb.Struct{
		Fields: map[string]*structpb.Value{"rule": structpb.NewStringValue(r.Name)},
	}}
	if script != "" {
		route.Override = &luav3.LuaPerRoute_Name{Name: script}
	}
	return route
}

func fallbackScript(rules []*enrich.Rule, code string) string {
	return "local rules = {\n" + fallbackRules(rules) + "}\n\n" + code
}

// fallbackRules are the rules that keep their shape, as elements of a Lua table.
func fallbackRules(rules []*enrich.Rule) string {
	var b strings.Builder
	for _, r := range rules {
		if !keepsShape(r) {
			continue
		}
		head, tail := r.Frame()
		fmt.Fprintf(&b, "  [%s] = {\n    segments = {", lua(r.Name))
		for _, s := range r.Path.Segments() {
			kind := "nil"
			if s.HasParam {
				kind = lua(s.Param.Type.String())
			}
			fmt.Fprintf(&b, " { %s, %s, %s },", lua(s.Prefix), kind, lua(s.Suffix))
		}
		if len(r.Query) > 0 {
			b.WriteString(" },\n    query = {")
		}
		for _, q := range r.Query {
			kind := "nil"
			if q.Type != 0 {
				kind = lua(q.Type.String())
			}
			fmt.Fprintf(&b, " { %s, %s, %s },", lua(q.Name), kind, lua(q.Fixed))
		}
		fmt.Fprintf(&b, " },\n    limit = %d,\n    degrade_not_found = %t,\n", r.CoreLimit, r.NotFound == enrich.DegradeNotFound)
		fmt.Fprintf(&b, "    both_failed = %s,\n    head = %s,\n    tail = %s,\n    core = {\n", lua(string(r.Unavailable())), lua(string(head)), lua(string(tail)))
		for _, f := range r.Core {
			if names := f.At.Names(); len(names) == 1 { // what is deeper is not looked at
				fmt.Fprintf(&b, "      [%s] = %s,\n", lua(names[0]), lua(f.Type.String()))
			}
		}
		b.WriteString("    },\n  },\n")
	}
	return b.String()
}

// lua quotes a string. Bytes outside of printable ASCII become decimal escapes, which is all that Lua 5.1 has.
func lua(s string) string {
	var b strings.Builder
	b.WriteByte('"')
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
	b.WriteByte('"')
	return b.String()
}
