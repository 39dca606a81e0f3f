package rulesfile

import (
	"fmt"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/enrich"
)

// builder makes rules of the nodes of a file, and notes what the schema cannot say.
type builder struct {
	root     *node
	mistakes Mistakes
	warnings Mistakes
	broken   Mistakes // of the schema: what has one is not looked at any further
}

func (b *builder) fail(steps []string, format string, args ...any) {
	b.mistakes = append(b.mistakes, Mistake{b.root.get(steps...).at, pathOf(steps), fmt.Sprintf(format, args...)})
}

func (b *builder) warn(steps []string, format string, args ...any) {
	b.warnings = append(b.warnings, Mistake{b.root.get(steps...).at, pathOf(steps), fmt.Sprintf(format, args...)})
}

// isBroken reports whether the schema found something wrong below a place.
func (b *builder) isBroken(steps ...string) bool {
	path := pathOf(steps)
	return slices.ContainsFunc(b.broken, func(m Mistake) bool {
		return m.Path == path || strings.HasPrefix(m.Path, path+".") || strings.HasPrefix(m.Path, path+"[")
	})
}

func (b *builder) envoy() (e Envoy) {
	if b.isBroken("envoy") {
		return e
	}
	n := b.root.get("envoy")
	e.Legacy = n.get("legacy").str("")
	if host, port, err := net.SplitHostPort(e.Legacy); e.Legacy != "" && (err != nil || host == "" || !isPort(port)) {
		b.fail([]string{"envoy", "legacy"}, "%q: write host:port, such as users.internal:8080", e.Legacy)
	}
	e.RouteTimeout, e.MessageTimeout = b.duration("route_timeout"), b.duration("message_timeout")
	if retries, ok := n.get("retries").scalar.(int64); ok {
		e.Retries = new(uint32(retries))
	}
	route, message := e.RouteTimeout, e.MessageTimeout
	if route == 0 {
		route = 3 * time.Second
	}
	if message == 0 {
		message = time.Second
	}
	if message >= route {
		b.fail([]string{"envoy", "message_timeout"}, "%v is not less than the route_timeout of %v: an answer would be given up before weft's time for MongoDB is over", message, route)
	}
	return e
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// duration returns a time of the envoy section; zero if there is none.
func (b *builder) duration(name string) time.Duration {
	text := b.root.get("envoy", name).str("")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond || d > time.Hour {
		b.fail([]string{"envoy", name}, "%q: write a duration from 1ms to 60m, such as 900ms or 3s", text)
		return 0
	}
	return d
}

func (b *builder) rules() []*enrich.Rule {
	var rules []*enrich.Rule
	seen := map[string]bool{}
	for i, n := range b.root.get("rules").elements {
		steps := []string{"rules", strconv.Itoa(i)}
		name := n.get("name").str("")
		if name != "" && seen[name] {
			b.fail(append(steps, "name"), "there is a rule %q already; names are unique", name)
		}
		seen[name] = true
		if b.isBroken(steps...) {
			continue
		}
		r := ruleBuilder{builder: b, n: n, steps: steps, used: map[string]bool{}}
		rules = append(rules, r.build())
	}
	return rules
}

// ruleBuilder makes one rule.
type ruleBuilder struct {
	*builder
	n     *node
	steps []string
	rule  enrich.Rule

	params []enrich.Param
	used   map[string]bool // parameters
	noPath bool            // what the parameters are is not known
}

func (b *ruleBuilder) path(steps ...string) []string { return slices.Concat(b.steps, steps) }

func (b *ruleBuilder) build() *enrich.Rule {
	r, n := &b.rule, b.n
	r.Name = n.get("name").str("")
	b.match()
	b.core()
	if n.get("shape").str("composite") == "merge" {
		r.Shape = enrich.ShapeMerge
	}
	r.MergeAt = enrich.Pointer(n.get("merge_at").str(""))
	r.Members = enrich.Members{Core: n.get("members", "core").str("core"), Errors: n.get("members", "errors").str("errors")}
	r.Messages = enrich.Messages{
		CoreFailed: n.get("messages", "core_failed").str("Failed to fetch " + r.Name + "."),
		BothFailed: n.get("messages", "both_failed").str("All upstream services are unavailable."),
	}
	for _, name := range n.get("extensions").keys {
		r.Sources = append(r.Sources, b.source(name))
	}
	b.policies()
	b.shape()
	b.unused()
	return r.Ready()
}

func (b *ruleBuilder) match() {
	r, n := &b.rule, b.n.get("match")
	var err error
	if r.Path, err = enrich.ParseTemplate(n.get("path").str("")); err != nil {
		b.fail(b.path("match", "path"), "%v", err)
		b.noPath = true
	}
	b.params = r.Path.Params()
	for _, p := range b.params {
		if p.Type == 0 {
			b.fail(b.path("match", "path"), "{%s} has no type; write {%s:int64}, {%s:string}, {%s:uuid} or {%s:objectid}", p.Name, p.Name, p.Name, p.Name, p.Name)
		}
	}
	r.Methods = []string{"GET"}
	if methods := n.get("methods"); methods.isList {
		r.Methods = nil
		for _, m := range methods.elements {
			r.Methods = append(r.Methods, m.str(""))
		}
	}
	r.Host = strings.ToLower(n.get("host").str("")) // names are the same in any case, to Envoy too
	for _, name := range n.get("query").keys {
		if _, ok := enrich.ParseParam(enrich.String, name); !ok {
			b.fail(b.path("match", "query", name), "%q is no name of a parameter: nothing is decoded, so write letters, digits and - . _ ~", name)
			continue
		}
		q := enrich.QueryParam{Param: enrich.Param{Name: name}, Fixed: n.get("query", name, "value").str("")}
		if typeName := n.get("query", name, "type").str(""); typeName != "" {
			q.Type = typeOf(typeName)
			if slices.ContainsFunc(b.params, func(p enrich.Param) bool { return p.Name == name }) {
				b.fail(b.path("match", "query", name), "{%s} is in the path, too; give one of them another name", name)
			}
			b.params = append(b.params, q.Param)
		}
		r.Query = append(r.Query, q)
	}
	if legacy := b.n.get("legacy_path").str(""); legacy != "" {
		b.legacyPath(legacy)
	}
}

// maxRewritten is how many groups of a pattern Envoy's substitution can name: \1 to \9.
const maxRewritten = 9

// legacyPath takes the types of the parameters from the path.
func (b *ruleBuilder) legacyPath(text string) {
	t, err := enrich.ParseTemplate(text)
	if err != nil {
		b.fail(b.path("legacy_path"), "%v", err)
		return
	}
	typed := text
	for _, p := range t.Params() {
		if b.noPath {
			return
		}
		i := slices.IndexFunc(b.rule.Path.Params(), func(q enrich.Param) bool { return q.Name == p.Name })
		switch {
		case i < 0:
			b.fail(b.path("legacy_path"), "{%s} is no parameter of the path %s", p.Name, b.rule.Path)
		case i >= maxRewritten:
			b.used[p.Name] = true
			b.fail(b.path("legacy_path"), "{%s} is the %dth parameter of match.path; Envoy can put the first %d of them into another path", p.Name, i+1, maxRewritten)
		case p.Type != 0:
			b.fail(b.path("legacy_path"), "{%s:%s} has its type from match.path; write {%s}", p.Name, typeName(p.Type), p.Name)
		default:
			b.used[p.Name] = true
			typed = strings.ReplaceAll(typed, "{"+p.Name+"}", "{"+p.Name+":"+typeName(b.rule.Path.Params()[i].Type)+"}")
		}
	}
	b.rule.LegacyPath, _ = enrich.ParseTemplate(typed)
}

func (b *ruleBuilder) core() {
	r, n := &b.rule, b.n.get("core")
	if list, ok := n.get("list").scalar.(string); ok {
		at := enrich.Pointer(list)
		r.List = &at
	}
	for _, name := range n.get("fields").keys {
		r.Core = append(r.Core, enrich.CoreField{At: pointer(name), Type: typeOf(n.get("fields", name).str(""))})
	}
	for _, name := range n.get("verify").keys {
		if param, ok := b.param(b.path("core", "verify", name), n.get("verify", name).str("")); ok {
			r.Verify = append(r.Verify, enrich.Verify{At: pointer(name), Param: param})
		}
	}
	r.CoreLimit = bytesOf(n.get("limit").str("1MiB"))
	if r.CoreLimit > 256<<20 {
		b.fail(b.path("core", "limit"), "is more than 256MiB, which Envoy and weft would each hold; write large: stream for cores that are larger")
	}
	if n.get("large").str("") == "stream" {
		r.Large = enrich.StreamLarge
	}
}

// pointer takes a name for the pointer to the member of that name.
func pointer(name string) enrich.Pointer {
	if strings.HasPrefix(name, "/") {
		return enrich.Pointer(name)
	}
	return enrich.Pointer("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
}

// param finds a parameter by its name.
func (b *ruleBuilder) param(steps []string, name string) (int, bool) {
	i := slices.IndexFunc(b.params, func(p enrich.Param) bool { return p.Name == name })
	if i >= 0 {
		b.used[name] = true
		return i, true
	}
	if b.noPath {
		return 0, false
	}
	var names []string
	for _, p := range b.params {
		names = append(names, p.Name)
	}
	switch near := nearest(name, names); {
	case len(names) == 0:
		b.fail(steps, "there is no parameter %q: the path has none", name)
	case near != "":
		b.fail(steps, "there is no parameter %q; did you mean %q?", name, near)
	default:
		b.fail(steps, "there is no parameter %q; there is %s", name, oneOf(names))
	}
	return 0, false
}

func (b *ruleBuilder) policies() {
	r, n := &b.rule, b.n
	if n.get("not_found").str("") == "degrade" {
		r.NotFound = enrich.DegradeNotFound
	}
	switch n.get("degrade").str("never") {
	case "authenticated":
		r.Degrade = enrich.DegradeAuthenticated
		if !n.get("identity").isMap {
			b.fail(b.path("degrade"), "authenticated needs to know who: write identity: {payload: …, claim: sub} with the payload_in_metadata of Envoy's jwt_authn filter")
		}
		if len(b.params) == 0 {
			b.fail(b.path("degrade"), "authenticated compares the claim with the first parameter, and the path has none")
		}
	case "always":
		r.Degrade = enrich.DegradeAlways
		b.warn(b.path("degrade"), "always: when the legacy service fails, whoever asks gets the extension, although nobody has checked who that is; never or authenticated are safe")
	}
	r.Identity = enrich.Claim{Payload: n.get("identity", "payload").str(""), Name: n.get("identity", "claim").str("")}
	if n.get("identity").isMap && r.Degrade != enrich.DegradeAuthenticated {
		b.fail(b.path("identity"), "is for degrade: authenticated only; leave it out")
	}
	if n.get("fallback").str("") == "composite" {
		r.Fallback = enrich.FallbackComposite
	}
}

// shape checks what goes with what.
func (b *ruleBuilder) shape() {
	r, n := &b.rule, b.n
	is := func(key, value string) bool { return n.get(key).str("") == value }
	whole := r.Shape == enrich.ShapeComposite && r.List == nil
	if !whole {
		const why = "is for shape: composite without core.list; in other shapes a response that fails passes as it is"
		if is("not_found", "degrade") {
			b.fail(b.path("not_found"), "degrade %s", why)
		}
		if is("degrade", "always") || is("degrade", "authenticated") {
			b.fail(b.path("degrade"), "%s %s", n.get("degrade").text, why)
		}
		if is("fallback", "composite") {
			b.fail(b.path("fallback"), "composite %s", why)
		}
		if r.Large == enrich.StreamLarge {
			b.fail(b.path("core", "large"), "stream %s", why)
		}
	}
	if r.Fallback == enrich.FallbackComposite && !slices.Contains(r.Methods, "GET") {
		b.fail(b.path("fallback"), "composite is for GET, which is not one of the methods")
	}
	if r.Shape == enrich.ShapeComposite && n.get("merge_at").scalar != nil {
		b.fail(b.path("merge_at"), "is for shape: merge")
	}
	if r.Shape == enrich.ShapeMerge && n.get("members", "core").scalar != nil {
		b.fail(b.path("members", "core"), "is for shape: composite; in merge the core is all around")
	}
	taken := map[string]string{r.Members.Errors: "the errors"}
	if r.Shape == enrich.ShapeComposite {
		if r.Members.Core == r.Members.Errors {
			b.fail(b.path("members"), "core and errors have the same name %q", r.Members.Core)
		}
		taken[r.Members.Core] = "the core"
	}
	for _, s := range r.Sources {
		if what := taken[s.Name]; what != "" {
			b.fail(b.path("extensions", s.Name), "%q is the name of %s; choose another, or change members", s.Name, what)
		}
	}
	if len(r.Verify) == 0 && r.List == nil && slices.ContainsFunc(r.Sources, hasParam) {
		b.warn(b.path(), "core.verify is missing: should the legacy service answer with another's core, it would get this one's extension; write, for example, core: {verify: {userId: userId}}")
	}
}

func hasParam(s *enrich.Source) bool {
	return slices.ContainsFunc(s.Where, func(c enrich.Condition) bool { return c.From == enrich.FromParam })
}

func (b *ruleBuilder) unused() {
	for _, p := range b.params {
		if !b.used[p.Name] && !strings.HasPrefix(p.Name, "_") {
			b.fail(b.path("match"), "the parameter %q is not used; name it in where, core.verify or legacy_path, or call it _%s", p.Name, p.Name)
		}
	}
}

func bytesOf(size string) int {
	unit := 1 << 10
	digits, isMiB := strings.CutSuffix(size, "MiB")
	if isMiB {
		unit = 1 << 20
	}
	n, err := strconv.Atoi(strings.TrimSuffix(digits, "KiB"))
	if err != nil || n > math.MaxInt32 {
		return 0 // the schema lets none such through
	}
	return n * unit
}

func types() map[string]enrich.Type {
	return map[string]enrich.Type{
		"int64": enrich.Int64, "number": enrich.Number, "string": enrich.String, "bool": enrich.Bool, "date": enrich.Date,
		"objectid": enrich.ObjectID, "uuid": enrich.UUID, "strings": enrich.Strings, "array": enrich.Array,
		"object": enrich.Object, "any": enrich.Any,
	}
}

func typeOf(name string) enrich.Type { return types()[name] }

func typeName(t enrich.Type) string {
	for name := range maps.Keys(types()) {
		if types()[name] == t {
			return name
		}
	}
	return ""
}
