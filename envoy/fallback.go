package envoy

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	luav3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/lua/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"weft/enrich"
)

//go:embed fallback.lua
var fallbackCode string

const fallbackName = "envoy.filters.http.lua"

// fallbackFilter keeps the shape of the rules' answers while weft is down. It stands before ext_proc in the list, so
// that it sees the response after it.
func fallbackFilter(c Config) *hcmv3.HttpFilter {
	return &hcmv3.HttpFilter{
		Name: fallbackName,
		ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: packed(&luav3.Lua{
			DefaultSourceCode: inline("local rules = {\n" + fallbackRules(c.Rules) + "}\n\n" + fallbackCode),
		})},
	}
}

// fallbackRules are the rules that keep their shape, as elements of a Lua table.
func fallbackRules(rules []*enrich.Rule) string {
	var b strings.Builder
	for _, r := range rules {
		if r.Fallback != enrich.FallbackComposite {
			continue
		}
		unavailable := enrich.Extension{Err: errors.New("weft is down")}
		both := r.Compose(0, enrich.FailedCore(enrich.LegacyUnreachable), unavailable).Body
		composite := string(r.Compose(0, enrich.Core{JSON: []byte("{}"), HasKey: true}, unavailable).Body)
		_, tail, _ := strings.Cut(composite, "{}")
		_, suffix, _ := strings.Cut(string(r.Path), "}")
		fmt.Fprintf(&b, "  {\n    prefix = %s,\n    suffix = %s,\n    limit = %d,\n    degrade_not_found = %t,\n",
			lua(prefix(r.Path)), lua(suffix), r.CoreLimit, r.NotFound == enrich.DegradeNotFound)
		fmt.Fprintf(&b, "    both_failed = %s,\n    tail = %s,\n    core = {\n", lua(string(both)), lua(tail))
		for _, f := range r.Core {
			kind := "int64"
			if f.Type == enrich.String {
				kind = "string"
			}
			fmt.Fprintf(&b, "      [%s] = %s,\n", lua(f.Name), lua(kind))
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
