package rulesfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"weft/enrich"
	"weft/envoy/defaults"
)

// builder builds rules from nodes and checks what the schema cannot express. It accepts nodes that the schema rejects,
// so that all errors are reported at once.
type builder struct {
	root       *node
	errs       Errors
	schemaErrs Errors // the errors in errs that the schema found
	warnings   Errors
}

func (b *builder) newError(steps []string, format string, args ...any) Error {
	return Error{position: b.root.get(steps...).at, Path: pathOf(steps), Text: fmt.Sprintf(format, args...)}
}

// fail adds an error about a value, unless the schema found one about the same value, of which this is a consequence.
func (b *builder) fail(steps []string, format string, args ...any) {
	e := b.newError(steps, format, args...)
	if !slices.ContainsFunc(b.schemaErrs, func(other Error) bool { return other.Path == e.Path }) {
		b.errs = append(b.errs, e)
	}
}

func (b *builder) warn(steps []string, format string, args ...any) {
	b.warnings = append(b.warnings, b.newError(steps, format, args...))
}

// isBroken reports whether the schema found an error in a value.
func (b *builder) isBroken(steps []string) bool {
	path := pathOf(steps)
	return slices.ContainsFunc(b.schemaErrs, func(e Error) bool {
		rest, isIn := strings.CutPrefix(e.Path, path)
		return isIn && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

func (b *builder) envoy() Envoy {
	n := b.root.get("envoy")
	e := Envoy{
		Legacy:            n.get("legacy").str(""),
		LegacyIdleTimeout: b.duration([]string{"envoy", "legacy_idle_timeout"}, defaults.LegacyIdleTimeout, maxTimeout),
		RouteTimeout:      b.duration([]string{"envoy", "route_timeout"}, defaults.RouteTimeout, maxTimeout),
		MessageTimeout:    b.duration([]string{"envoy", "message_timeout"}, defaults.MessageTimeout, maxTimeout),
		Retries:           defaults.Retries,
	}
	if retries, ok := n.get("retries").value.(int64); ok {
		e.Retries = uint32(retries)
	}
	if e.RouteTimeout > 0 && e.MessageTimeout >= e.RouteTimeout {
		b.fail([]string{"envoy", "message_timeout"}, "%v must be less than the route_timeout %v: %s",
			e.MessageTimeout, e.RouteTimeout, "otherwise the route times out while weft still waits for MongoDB")
	}
	return e
}

// maxTimeout is the maximum of a timeout.
const maxTimeout = time.Hour

// duration returns a duration, the default if it is not set, or 0 after an error.
func (b *builder) duration(steps []string, byDefault, maximum time.Duration) time.Duration {
	n := b.root.get(steps...)
	if n.value == nil {
		return byDefault
	}
	d, err := time.ParseDuration(n.str(""))
	if err != nil || d < time.Millisecond || d > maximum {
		b.fail(steps, "%q: write a duration from 1ms to %.0fm, such as 900ms or 3s", n.text, maximum.Minutes())
		return 0
	}
	return d
}

func (b *builder) rules() []*enrich.Rule {
	var rules []*enrich.Rule
	names := map[string]bool{}
	for i, n := range b.root.get("rules").elements {
		r := ruleBuilder{builder: b, n: n, steps: []string{"rules", strconv.Itoa(i)}, used: map[string]bool{}}
		name := n.get("name").str("")
		if name != "" && names[name] {
			b.fail(r.path("name"), "duplicate name %q; rename one of the rules", name)
		}
		names[name] = true
		rules = append(rules, r.build())
	}
	var longest time.Duration
	for _, r := range rules {
		longest = max(longest, r.Keep.StaleIfError)
	}
	for _, r := range rules {
		r.Keep.MaxStaleIfError = longest
	}
	return rules
}

// ruleBuilder builds one rule.
type ruleBuilder struct {
	*builder
	n      *node
	steps  []string // to n
	rule   enrich.Rule
	params []enrich.Param
	used   map[string]bool // by name of a parameter
	unsure bool            // because of an error, used may be incomplete
}

func (b *ruleBuilder) path(steps ...string) []string { return slices.Concat(b.steps, steps) }

func (b *ruleBuilder) build() *enrich.Rule {
	r, n := &b.rule, b.n
	r.Name, r.Description = n.get("name").str(""), n.get("description").str("")
	b.match()
	b.legacyPath()
	b.core()
	r.Shape, _ = enrich.ParseShape(n.get("shape").str(""))
	r.ContentType = n.get("content_type").str("")
	r.MergeAt = enrich.Pointer(n.get("merge_at").str(""))
	r.Members.Core, r.Members.Errors = n.get("members", "core").str("core"), n.get("members", "errors").str("errors")
	r.Messages = enrich.Messages{
		CoreFailed: n.get("messages", "core_failed").str("Failed to fetch " + r.Name + "."),
		CoreStale:  n.get("messages", "core_stale").str(""),
		BothFailed: n.get("messages", "both_failed").str("All upstream services are unavailable."),
	}
	for _, name := range n.get("extensions").keys {
		r.Sources = append(r.Sources, b.source(name))
	}
	b.policies()
	b.keep()
	b.selection()
	b.checkShape()
	b.checkUnused()
	return r.Ready()
}

func (b *ruleBuilder) match() {
	r, n := &b.rule, b.n.get("match")
	if path, ok := n.get("path").value.(string); ok {
		var err error
		if r.Path, err = enrich.ParseTemplate(path); err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				b.fail(b.path("match", "path"), "%s", line)
			}
		}
		b.params = r.Path.Params()
		for _, p := range b.params {
			if strings.Contains(path, "{"+p.Name+"}") {
				b.fail(b.path("match", "path"), "{%s} has no type; write {%s:TYPE} with one of %s",
					p.Name, p.Name, enrich.TypeNames(enrich.ParamTypes()))
			}
		}
	}
	for _, m := range n.get("methods").elements {
		r.Methods = append(r.Methods, m.str(""))
	}
	if r.Methods == nil {
		r.Methods = []string{"GET"}
	}
	r.Host = strings.ToLower(n.get("host").str("")) // Envoy also matches hosts case-insensitively
	for _, name := range n.get("query").keys {
		_, isName := enrich.ParseParam(enrich.String, name)
		if !isName {
			b.fail(b.path("match", "query", name), "invalid name %q; use letters, digits and - . _ ~", name)
		}
		b.used[name] = !isName || b.isBroken(b.path("match", "query", name))
		q := enrich.QueryParam{Param: enrich.Param{Name: name}, Fixed: n.get("query", name, "value").str("")}
		if typ := n.get("query", name, "type").str(""); typ != "" {
			q.Type, _ = enrich.ParseType(typ)
			if slices.ContainsFunc(b.params, func(p enrich.Param) bool { return p.Name == name }) {
				b.fail(b.path("match", "query", name), "the path has a parameter {%s} too; rename one of them", name)
			}
			b.params = append(b.params, q.Param)
		}
		r.Query = append(r.Query, q)
	}
}

// maxRewritten is the number of groups that Envoy's substitution can refer to: \1 to \9.
const maxRewritten = 9

// legacyPath sets Rule.LegacyPath. Its parameters get their types from match.path.
func (b *ruleBuilder) legacyPath() {
	text := b.n.get("legacy_path").str("")
	if text == "" {
		return
	}
	fail := func(format string, args ...any) { b.fail(b.path("legacy_path"), format, args...) }
	t, err := enrich.ParseTemplate(text)
	if err != nil {
		fail("%v", err)
	}
	b.unsure = b.unsure || t.IsZero()
	params := b.rule.Path.Params()
	for _, p := range t.Params() {
		i := slices.IndexFunc(params, func(q enrich.Param) bool { return q.Name == p.Name })
		switch {
		case b.rule.Path.IsZero():
			return
		case i < 0:
			fail("{%s} is not a parameter of the path %s", p.Name, b.rule.Path)
			b.unsure = true
			continue
		case i >= maxRewritten:
			fail("{%s} is parameter %d of match.path; Envoy can use only the first %d in legacy_path",
				p.Name, i+1, maxRewritten)
		case p.Type != 0:
			fail("{%s:%s} gets its type from match.path; write {%s}", p.Name, p.Type, p.Name)
		}
		b.used[p.Name] = true
		text = strings.ReplaceAll(text, "{"+p.Name+"}", "{"+p.Name+":"+params[i].Type.String()+"}")
	}
	b.rule.LegacyPath, _ = enrich.ParseTemplate(text)
}

func (b *ruleBuilder) core() {
	r, n := &b.rule, b.n.get("core")
	if list, ok := n.get("list").value.(string); ok && !b.isBroken(b.path("core", "list")) {
		r.List = new(enrich.Pointer(list))
	}
	for _, name := range n.get("fields").keys {
		t, _ := enrich.ParseType(n.get("fields", name).str(""))
		r.Core = append(r.Core, enrich.CoreField{At: pointer(name), Type: t})
	}
	for _, name := range n.get("verify").keys {
		if param, ok := b.param(b.path("core", "verify", name), n.get("verify", name).str("")); ok {
			r.Verify = append(r.Verify, enrich.Verify{At: pointer(name), Param: param})
		}
	}
	r.CoreLimit, _ = ParseSize(n.get("limit").str("1MiB")) // the schema has checked it
	if r.CoreLimit > 256<<20 {
		b.fail(b.path("core", "limit"),
			"is more than 256MiB, which Envoy and weft each buffer; write large: stream for larger cores")
	}
	r.StreamLarge = n.get("large").str("") == "stream"
}

// pointer returns the JSON pointer to a member. The member is written as its name or as a pointer.
func pointer(name string) enrich.Pointer {
	if strings.HasPrefix(name, "/") {
		return enrich.Pointer(name)
	}
	return enrich.Pointer("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
}

// param returns the index of a parameter, and whether it exists. It marks the parameter as used.
func (b *ruleBuilder) param(steps []string, name string) (int, bool) {
	var names []string
	for i, p := range b.params {
		if p.Name == name {
			b.used[name] = true
			return i, true
		}
		names = append(names, p.Name)
	}
	b.unsure = true
	switch {
	case b.rule.Path.IsZero(): // because of an error, the parameters are not known
	case len(names) == 0:
		b.fail(steps, "unknown parameter %q; the path has no parameters", name)
	default:
		b.fail(steps, "unknown parameter %q; %s", name, suggest(name, names))
	}
	return 0, false
}

func (b *ruleBuilder) policies() {
	r, n := &b.rule, b.n
	r.DegradeNotFound = n.get("not_found").str("") == "degrade"
	r.Fallback = n.get("fallback").str("") == "composite"
	if r.Fallback && !slices.Contains(r.Methods, "GET") && !b.isBroken(b.path("match", "methods")) {
		b.fail(b.path("fallback"), "composite applies only to GET, which is not in match.methods")
	}
	switch n.get("degrade").str("") {
	case "authenticated":
		r.Degrade = enrich.DegradeAuthenticated
		if !n.get("identity").isMap {
			b.fail(b.path("degrade"), "authenticated needs identity: {payload: …, claim: sub}, %s",
				"with the payload_in_metadata of Envoy's jwt_authn filter")
		}
		if len(b.params) == 0 && !r.Path.IsZero() {
			b.fail(b.path("degrade"), "authenticated compares the claim with the first parameter; the path has none")
		}
	case "always":
		r.Degrade = enrich.DegradeAlways
		b.warn(b.path("degrade"), "always: if the legacy service fails, every caller gets the extension %s",
			"without authorization; never and authenticated are safe")
	}
	r.Identity = enrich.Claim{Payload: n.get("identity", "payload").str(""), Name: n.get("identity", "claim").str("")}
	if n.get("identity").isMap && r.Degrade != enrich.DegradeAuthenticated && !b.isBroken(b.path("degrade")) {
		b.fail(b.path("identity"), "is only for degrade: authenticated; remove it")
	}
}

func (b *ruleBuilder) selection() {
	r, n := &b.rule, b.n.get("select")
	r.Select.Param = n.get("param").str("")
	r.Select.IgnoreUnknown = n.get("unknown").str("") == "ignore"
	r.Select.Forward, _ = n.get("forward").value.(bool)
	if !n.isMap {
		return
	}
	if slices.ContainsFunc(r.Query, func(q enrich.QueryParam) bool { return q.Name == r.Select.Param }) {
		b.fail(b.path("select", "param"), "match.query has %q too; rename one of them", r.Select.Param)
	}
	for _, s := range r.Sources {
		if strings.ContainsAny(s.Name, ".,") {
			b.fail(b.path("extensions", s.Name),
				"clients cannot select a name with a dot or a comma; rename it, or remove select")
		}
	}
	if r.StreamLarge {
		b.fail(b.path("select"), "with large: stream, the response begins before the core is complete; remove one of them")
	}
}

// checkShape checks that the shape supports the rule's options.
func (b *ruleBuilder) checkShape() {
	if b.isBroken(b.path("shape")) {
		return
	}
	r, n := &b.rule, b.n
	if !r.AllowsMissingCore() {
		for key, safe := range map[string]string{
			"not_found": "pass", "degrade": "never", "fallback": "legacy", "core.large": "pass",
		} {
			steps := strings.Split(key, ".")
			if value := n.get(steps...).str(safe); value != safe {
				b.fail(b.path(steps...), "%s needs a shape with a member for the core, such as composite, %s; write %s",
					value, "and no core.list", safe)
			}
		}
		if r.Keep.StaleIfError > 0 {
			b.fail(b.path("core", "stale_if_error"), "needs a shape with a member for the core, such as composite, %s",
				"and no core.list; remove it")
		}
	}
	for _, shape := range enrich.Shapes() {
		for _, option := range shape.Options() {
			steps := strings.Split(option, ".")
			if n.get(steps...).value != nil && !slices.Contains(r.Shape.Options(), option) {
				b.fail(b.path(steps...), "is only for shape: %s; remove it", shape)
			}
		}
	}
	reserved := map[string]string{r.Members.Errors: "the errors"}
	if slices.Contains(r.Shape.Options(), enrich.OptionCoreMember) {
		if r.Members.Core == r.Members.Errors {
			b.fail(b.path("members"), "core and errors have the same name %q", r.Members.Core)
		}
		reserved[r.Members.Core] = "the core"
	}
	for _, s := range r.Sources {
		if what := reserved[s.Name]; what != "" {
			b.errs = append(b.errs, b.newError(b.path("extensions", s.Name),
				"%q is also the name of %s; rename the extension, or set members", s.Name, what))
		}
	}
	if len(r.Verify) == 0 && r.List == nil && slices.ContainsFunc(r.Sources, hasParam) {
		b.warn(b.path(), "core.verify is missing: if the legacy service responds with another user's core, %s",
			"it is joined with this user's extension; write, for example, core: {verify: {userId: userId}}")
	}
}

func hasParam(s *enrich.Source) bool {
	return slices.ContainsFunc(s.Where, func(c enrich.Condition) bool { return c.From == enrich.FromParam })
}

// checkUnused reports unused parameters, unless another error may be the reason that they look unused.
func (b *ruleBuilder) checkUnused() {
	isRuleBroken := slices.ContainsFunc(b.schemaErrs, func(e Error) bool { return e.Path == pathOf(b.steps) })
	if b.unsure || isRuleBroken || b.isBroken(b.path("core")) || b.isBroken(b.path("extensions")) {
		return
	}
	for _, p := range b.params {
		if !b.used[p.Name] && !strings.HasPrefix(p.Name, "_") {
			b.fail(b.path("match"), "unused parameter %q; %s", p.Name,
				"use it in where, core.verify or legacy_path, or begin its name with _")
		}
	}
}
